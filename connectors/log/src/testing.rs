//! A real Fluvio cluster for tests: one system controller and some SPUs on loopback, in a directory
//! that goes away with it. Feature `testing`.
//!
//! The server is the binary `fluvio-run`, named by the environment variable `FLUVIO_RUN` or found on
//! `PATH`; it is no part of this project. Without it [`TestCluster::start`] gives None after one
//! printed line, and the test ends.

mod process;
mod proxy;
mod tls;

pub use proxy::{Proxy, Traffic};

use crate::cluster::{Cluster, ClusterTopics};
use anyhow::{Context, Result, bail};
use fluvio::FluvioClusterConfig;
use fluvio::metadata::customspu::CustomSpuSpec;
use fluvio::metadata::partition::{PartitionResolution, PartitionSpec};
use fluvio::metadata::spu::SpuSpec;
use fluvio::metadata::topic::{
    CleanupPolicy, CompressionAlgorithm, ReplicaSpec, SegmentBasedPolicy, TopicReplicaParam, TopicSpec,
    TopicStorageConfig,
};
use process::{Process, free_ports, server_binary};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tls::Tls;
use tokio::runtime::Runtime;

/// How long anything of the cluster may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const FIRST_SPU: i32 = 5001;

/// How a topic is stored; the SPU's defaults for what is None.
#[derive(Debug, Clone, Default)]
pub struct TopicOptions {
    /// Size of a segment, at least 1024
    pub segment_bytes: Option<u32>,
    /// Size of a partition, at least two segments; beyond it the oldest segments go
    pub partition_bytes: Option<u64>,
    /// Age at which a segment that is not the newest goes, at least 10
    pub retention_seconds: Option<u32>,
    /// Compression that batches must have
    pub compression: CompressionAlgorithm,
}

/// A running cluster; dropping it kills what it started.
pub struct TestCluster {
    // Processes before the directory they write to.
    spus: Mutex<Vec<Spu>>,
    _controller: Process,
    cluster: Arc<Cluster>,
    address: String,
    private_address: String,
    binary: PathBuf,
    tls: Option<Tls>,
    dir: TempDir,
    // Last, for dropping a connection may need it.
    runtime: Runtime,
}

struct Spu {
    id: i32,
    public: u16,
    private: u16,
    proxy: Option<Proxy>,
    process: Option<Process>,
}

impl TestCluster {
    /// A cluster with one SPU; None, and a line on standard error, if there is no server binary.
    ///
    /// Panics if the server does not come up.
    pub fn start() -> Option<TestCluster> {
        TestCluster::start_with(1, false)
    }

    /// A cluster whose SPU is registered under the address of a [`Proxy`], so that all clients go
    /// through it.
    pub fn start_behind_proxy() -> Option<TestCluster> {
        TestCluster::start_with(1, true)
    }

    /// A cluster that takes clients by TLS alone, with a certificate of their own.
    pub fn start_with_tls() -> Option<TestCluster> {
        TestCluster::start_as(1, false, true)
    }

    /// A cluster with several SPUs, each behind a proxy or none.
    pub fn start_with(spus: u16, proxied: bool) -> Option<TestCluster> {
        TestCluster::start_as(spus, proxied, false)
    }

    fn start_as(spus: u16, proxied: bool, tls: bool) -> Option<TestCluster> {
        let Some(binary) = server_binary() else {
            eprintln!(
                "skipped: tests on a Fluvio cluster, for there is no fluvio-run on PATH and FLUVIO_RUN does not name one"
            );
            return None;
        };
        Some(TestCluster::up(binary, spus, proxied, tls).unwrap_or_else(|error| panic!("test cluster: {error:#}")))
    }

    /// The cluster that other tests of this process use at this moment too, or a new one.
    pub fn shared() -> Option<Arc<TestCluster>> {
        static SHARED: Mutex<Weak<TestCluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(TestCluster::start()?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn up(binary: PathBuf, spus: u16, proxied: bool, tls: bool) -> Result<TestCluster> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let dir = tempfile::tempdir()?;
        let [public, private] = free_ports()?;
        let (address, private_address) = (format!("127.0.0.1:{public}"), format!("127.0.0.1:{private}"));
        let tls = if tls { Some(Tls::new(dir.path())?) } else { None };
        let meta = dir.path().join("meta");
        let meta = meta.to_string_lossy();
        let mut arguments = vec!["sc", "--local", &meta, "--bind-public", &address, "--bind-private", &private_address];
        let more = tls_arguments(tls.as_ref())?;
        arguments.extend(more.iter().map(String::as_str));
        let controller = Process::start(&binary, &arguments, &[], &dir.path().join("sc.log"))?;
        let mut config = FluvioClusterConfig::new(address.clone());
        if let Some(tls) = &tls {
            config.tls = tls.policy();
        }
        let cluster = runtime.block_on(until("the system controller listens", async || {
            Cluster::connect_by(config.clone()).await.ok()
        }))?;
        let cluster = TestCluster {
            spus: Mutex::default(),
            _controller: controller,
            cluster: Arc::new(cluster),
            address,
            private_address,
            binary,
            tls,
            dir,
            runtime,
        };
        for id in (FIRST_SPU..).take(spus.into()) {
            cluster.add_spu(id, proxied)?;
        }
        cluster.wait_for_spus()?;
        Ok(cluster)
    }

    fn add_spu(&self, id: i32, proxied: bool) -> Result<()> {
        let [public, private] = free_ports()?;
        let proxy = match proxied {
            true => Some(self.runtime.block_on(Proxy::start(([127, 0, 0, 1], public).into()))?),
            false => None,
        };
        let mut spec = CustomSpuSpec { id, ..Default::default() };
        spec.public_endpoint.port = proxy.as_ref().map_or(public, |proxy| proxy.address().port());
        spec.public_endpoint.ingress.push(Default::default());
        for ingress in &mut spec.public_endpoint.ingress {
            ingress.hostname = Some("127.0.0.1".to_owned());
        }
        spec.private_endpoint.port = private;
        spec.private_endpoint.host = "127.0.0.1".to_owned();
        self.block_on(async {
            self.cluster.client().admin().await.create(format!("custom-spu-{id}"), false, spec).await
        })?;
        let process = Some(self.start_process(id, public, private)?);
        self.lock().push(Spu { id, public, private, proxy, process });
        Ok(())
    }

    fn start_process(&self, id: i32, public: u16, private: u16) -> Result<Process> {
        let data = self.dir.path().join(format!("spu-{id}"));
        let socket = self.dir.path().join(format!("spu-{id}.sock"));
        let more = tls_arguments(self.tls.as_ref())?;
        let arguments = [
            "spu",
            "-i",
            &id.to_string(),
            "-p",
            &format!("127.0.0.1:{public}"),
            "-v",
            &format!("127.0.0.1:{private}"),
            "--sc-addr",
            &self.private_address,
            "--log-base-dir",
            &data.to_string_lossy(),
        ];
        let arguments: Vec<&str> = arguments.into_iter().chain(more.iter().map(String::as_str)).collect();
        // Without a socket of its own an SPU takes over that of any other on the machine.
        let environment = [("FLUVIO_METRIC_SPU", socket.as_path())];
        Process::start(&self.binary, &arguments, &environment, &self.dir.path().join(format!("spu-{id}.log")))
    }

    fn wait_for_spus(&self) -> Result<()> {
        let ids: Vec<i32> = self.lock().iter().map(|spu| spu.id).collect();
        self.block_on(until("the SPUs are online", async || {
            let listed = self.cluster.client().admin().await.all::<SpuSpec>().await.ok()?;
            let online = |id: &i32| listed.iter().any(|spu| spu.spec.id == *id && spu.status.is_online());
            ids.iter().all(online).then_some(())
        }))
    }

    /// `HOST:PORT` of the system controller.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A Fluvio profile (`FLV_PROFILE_PATH`) for a cluster with TLS; one that is not `trusted` names an
    /// authority that has not signed the server's certificate.
    ///
    /// Panics if the cluster was started without TLS.
    pub fn profile(&self, trusted: bool) -> PathBuf {
        let tls = self.tls.as_ref().expect("the cluster was started without TLS");
        tls.profile(&self.address, trusted).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A connection to it.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The runtime that the harness itself uses.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits for a future on that runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Blocking access to its topics.
    pub fn topics(&self) -> ClusterTopics {
        ClusterTopics::new(self.cluster.clone(), self.runtime.handle().clone())
    }

    /// Creates a topic with one replica of each partition and waits until they are online.
    pub fn create_topic(&self, name: &str, partitions: u32, options: TopicOptions) -> Result<()> {
        let mut spec = TopicSpec::from(ReplicaSpec::Computed(TopicReplicaParam::new(partitions, 1, false)));
        if let Some(time_in_seconds) = options.retention_seconds {
            spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds }));
        }
        spec.set_storage(TopicStorageConfig {
            segment_size: options.segment_bytes,
            max_partition_size: options.partition_bytes,
        });
        spec.set_compression_type(options.compression);
        self.block_on(async {
            self.cluster.client().admin().await.create(name.to_owned(), false, spec).await?;
            until("the partitions are online", async || {
                let listed = self.cluster.client().admin().await.all::<PartitionSpec>().await.ok()?;
                let online = |key: String| {
                    listed.iter().any(|p| p.name == key && p.status.resolution == PartitionResolution::Online)
                };
                (0..partitions).all(|n| online(format!("{name}-{n}"))).then_some(())
            })
            .await
        })
    }

    /// The proxy before the first SPU.
    ///
    /// Panics if the cluster was started without.
    pub fn proxy(&self) -> Proxy {
        self.lock().first().and_then(|spu| spu.proxy.clone()).expect("the cluster was started without a proxy")
    }

    /// Kills the first SPU (SIGKILL) and waits until it is gone.
    pub fn kill_spu(&self) {
        if let Some(spu) = self.lock().first_mut() {
            spu.process = None;
        }
    }

    /// Starts the first SPU again with the same ports and data; returns when it takes connections.
    pub fn start_spu(&self) -> Result<()> {
        {
            let mut spus = self.lock();
            let spu = spus.first_mut().context("the cluster has no SPU")?;
            if spu.process.is_some() {
                bail!("SPU {} is running", spu.id);
            }
            spu.process = Some(self.start_process(spu.id, spu.public, spu.private)?);
        }
        let public = self.lock().first().map(|spu| spu.public).unwrap_or_default();
        self.block_on(until("the SPU listens again", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", public)).await.ok().map(drop)
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Spu>> {
        self.spus.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server with TLS needs an address without it, for its own use.
fn tls_arguments(tls: Option<&Tls>) -> Result<Vec<String>> {
    let Some(tls) = tls else { return Ok(Vec::new()) };
    let [plain] = free_ports()?;
    Ok(tls.arguments(&format!("127.0.0.1:{plain}")))
}

/// Asks again and again until there is an answer.
async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    while started.elapsed() < UP_WITHIN {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("waited {} s in vain until {what}", UP_WITHIN.as_secs())
}
