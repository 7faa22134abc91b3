//! The command `collect`.

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use perfstream_collector::{Destination, EventTopic, Options, run};
use perfstream_log::cluster::Target;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(ClapArgs)]
pub(super) struct CollectArgs {
    /// Directory of the embedded log
    #[arg(long, value_name = "DIR", required_unless_present = "cluster")]
    data: Option<PathBuf>,
    /// Partitions of topics of the embedded log
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024), requires = "data")]
    partitions: u32,
    /// Write to a Fluvio cluster: HOST:PORT of its system controller, or without a value the cluster of
    /// the current Fluvio profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with = "data")]
    cluster: Option<Option<String>>,
    /// Make the topics that the cluster lacks, each with so many partitions (`dead-letters` with one) and one
    /// replica. Without it events for a topic that is not there become dead letters
    #[arg(long, value_name = "PARTITIONS", value_parser = clap::value_parser!(u32).range(1..=1024), requires = "cluster")]
    create_topics: Option<u32>,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Origin of pages that may send, as https://shop.example; `*`: every one (may be given more than once).
    /// Without it only pages of the collector's own origin
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Name under which it may be asked, as collector.example (may be given more than once). localhost and
    /// addresses always are; on a loopback address no other name is, so that no page of the web gets here
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Public token that what browsers send must bring, as a header or `?token=` (may be given more than once)
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// File with tokens of servers, one a line, that events, OTLP and remote write must bring as
    /// `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    server_token_file: Option<PathBuf>,
    /// Topic that /v1/events/TOPIC may write, with the field that is its key (may be given more than once)
    #[arg(long, value_name = "TOPIC[:FIELD]")]
    topic: Vec<EventTopic>,
    /// Serve /demo, a page that can be slowed down and that measures itself
    #[arg(long)]
    demo: bool,
    /// Header with the country of the client, set by a proxy, as cf-ipcountry
    #[arg(long, value_name = "NAME")]
    country_header: Option<String>,
    /// Header with the address of the client, set by a proxy, as x-forwarded-for
    #[arg(long, value_name = "NAME")]
    address_header: Option<String>,
    /// Longest body of browsers and events as sent, KiB
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_body: u64,
    /// Longest body of browsers and events after decompression, KiB
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_decompressed: u64,
    /// Longest body of OTLP and remote write as sent, KiB
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_server_body: u64,
    /// Longest body of OTLP and remote write after decompression, KiB
    #[arg(long, value_name = "KIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_server_decompressed: u64,
    /// Longest head of a request, KiB
    #[arg(long, value_name = "KIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(8..=1024))]
    max_header: u64,
    /// Most connections at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: u32,
    /// Most connections of one address at once; of no effect with --address-header
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections_per_address: u32,
    /// How long the body of a request may take, seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    request_timeout: u64,
    /// Requests per second of one address, twice as many at once; 0: any number
    #[arg(long, value_name = "N", default_value_t = 50)]
    rate_per_address: u32,
    /// Requests per second with one token, twice as many at once; 0: any number
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate_per_token: u32,
}

/// Collects until a signal.
pub(super) fn collect(args: CollectArgs) -> Result<ExitCode> {
    let destination = match (&args.data, &args.cluster) {
        (Some(dir), _) => Destination::Embedded(dir.clone(), args.partitions),
        (None, Some(Some(address))) => Destination::Cluster(Target::Address(address.clone()), args.create_topics),
        (None, _) => Destination::Cluster(Target::Profile, args.create_topics),
    };
    let server_tokens = args.server_token_file.as_deref().map_or(Ok(Vec::new()), tokens)?;
    let topics: BTreeMap<String, EventTopic> = args.topic.into_iter().map(|t| (t.name.clone(), t)).collect();
    let options = Options {
        listen: args.listen,
        origins: args.allow_origin,
        hosts: args.allow_host,
        tokens: args.token,
        server_tokens,
        topics,
        demo: args.demo,
        country_header: args.country_header,
        address_header: args.address_header,
        body_bytes: (args.max_body << 10) as usize,
        decompressed_bytes: (args.max_decompressed << 10) as usize,
        server_body_bytes: (args.max_server_body << 10) as usize,
        server_decompressed_bytes: (args.max_server_decompressed << 10) as usize,
        header_bytes: (args.max_header << 10) as usize,
        max_connections: args.max_connections as usize,
        max_connections_per_address: args.max_connections_per_address as usize,
        body_timeout: Duration::from_secs(args.request_timeout),
        rate_per_address: args.rate_per_address,
        rate_per_token: args.rate_per_token,
        ..Options::default()
    };
    run(options, &destination)?;
    Ok(ExitCode::SUCCESS)
}

/// The tokens of a file; an empty one is no protection, so it is refused.
fn tokens(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("tokens {}", path.display()))?;
    let tokens: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    if tokens.is_empty() {
        bail!("{} has no token; allowed is one a line", path.display());
    }
    Ok(tokens)
}
