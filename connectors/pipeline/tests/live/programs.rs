//! The collector and the pipelines as a user runs them, what sends to them, and what they say.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// A fault is found in seconds; a machine that does other work has time for it.
const WITHIN: Duration = Duration::from_secs(120);

/// What a dashboard is refreshed in at least.
const SHORTEST_MS: u64 = 100;

/// Waits until it holds.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < until, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// A program of others, by the variable that names it.
fn named(variable: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")))
}

/// The Python that has the SDK of OpenTelemetry.
pub fn python() -> Command {
    named("PERFSTREAM_TEST_OPENTELEMETRY")
}

fn perfstream() -> Command {
    Command::new(env!("CARGO_BIN_EXE_perfstream"))
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("127.0.0.1:{}", listener.local_addr().expect("an address").port())
}

/// A shipped file whose durations are a sixtieth, and that looks at file systems in memory.
fn sixtieth(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a pipeline file").replace("values: [tmpfs, ", "values: [");
    // The default of a forecast's step, said so that it shrinks too.
    let text = text.replace("group_by: [service, route], horizons:", "group_by: [service, route], step: 1m, horizons:");
    let (mut out, mut rest) = (String::new(), text.as_str());
    // A duration is a word of digits and a unit; digits inside of a name are none.
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let (before, word_on) = rest.split_at(at);
        let len = word_on.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at(len);
        out.push_str(before);
        out.push_str(&milliseconds(word).map_or(word.to_string(), |ms| format!("{}ms", (ms / 60).max(SHORTEST_MS))));
        rest = after;
    }
    out + rest
}

fn milliseconds(word: &str) -> Option<u64> {
    let digits = word.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &word[digits..] {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(word[..digits].parse::<u64>().ok()? * unit)
}

pub struct Live {
    dir: tempfile::TempDir,
    listen: String,
    children: Vec<Child>,
}

impl Live {
    /// A collector, and pipelines of a shipped file behind it.
    pub fn start(framework: &str, pipelines: &[&str]) -> Live {
        let mut live =
            Live { dir: tempfile::tempdir().expect("a directory"), listen: free_address(), children: vec![] };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines");
        let file = live.dir.path().join("pipelines.yaml");
        let text = sixtieth(&shipped.join(format!("{framework}.yaml")));
        // Files that the framework names; they are as they were.
        for other in ["incidents.yaml", "response.yaml"] {
            std::fs::copy(shipped.join(other), live.dir.path().join(other)).expect("a copy");
        }
        std::fs::write(&file, text).expect("a file");
        let check = perfstream().arg("check").arg(&file).output().expect("a program");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        let listen = live.listen.clone();
        let collect = live.command("collect").args(["--listen", &listen]).spawn().expect("a collector");
        live.children.push(collect);
        wait("the collector", || std::net::TcpStream::connect(&listen).is_ok());
        let mut run = live.command("run");
        run.arg(&file).arg("--follow").args(pipelines.iter().flat_map(|name| ["--only", name]));
        live.children.push(run.spawn().expect("a run"));
        live
    }

    fn command(&self, name: &str) -> Command {
        let mut command = perfstream();
        command.arg(name).arg("--data").arg(self.data()).stderr(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Where it takes events.
    pub fn collector(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// node-exporter and a Prometheus that sends on once a second.
    pub fn scrape_this_host(&mut self) {
        let (exporter, prometheus) = (free_address(), free_address());
        let config = self.dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: node\n    static_configs: [{{ targets: [\"{exporter}\"] }}]\n    \
             relabel_configs: [{{ target_label: instance, replacement: \"test-1:9100\" }}]\nremote_write:\n  - url: {}/api/v1/write\n    \
             queue_config: {{ batch_send_deadline: 200ms }}\n",
            self.collector()
        );
        std::fs::write(&config, text).expect("a file");
        let quiet =
            |mut command: Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a program");
        let mut command = named("PERFSTREAM_TEST_NODE_EXPORTER");
        command.arg(format!("--web.listen-address={exporter}"));
        self.children.push(quiet(command));
        let mut command = named("PERFSTREAM_TEST_PROMETHEUS");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", self.dir.path().join("tsdb").display()));
        command.arg(format!("--web.listen-address={prometheus}"));
        self.children.push(quiet(command));
    }

    /// Starts a program; what its first line says.
    pub fn spawn_and_read<T: FromStr>(&mut self, command: &mut Command) -> T {
        let command = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a program");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        self.children.push(child);
        line.trim().parse().unwrap_or_else(|_| panic!("{line}"))
    }

    fn records(&self, topic: &str) -> Vec<Value> {
        let out = perfstream().args(["cat", topic, "--data"]).arg(self.data()).output().expect("a program");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Records of a topic with this field.
    pub fn rows(&self, topic: &str, field: &str, value: &str) -> usize {
        self.records(topic).iter().filter(|row| row[field] == value).count()
    }

    /// The states of a rule's alert, in order; it is about records with this field.
    pub fn alerts(&self, rule: &str, field: &str, value: &str) -> Vec<String> {
        let of = |alert: &&Value| alert["rule"] == rule && alert["labels"][field] == value;
        let states = self.records("alerts").into_iter();
        let mut states: Vec<String> =
            states.filter(|a| of(&a)).filter_map(|a| a["state"].as_str().map(String::from)).collect();
        states.retain(|state| state == "firing" || state == "resolved");
        states.dedup();
        states
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// A small file system of its own, gone when it is dropped.
pub struct Mount(tempfile::TempDir);

impl Mount {
    /// None where it cannot be mounted.
    pub fn new(megabytes: u32) -> Option<Mount> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "perfstream-test"]).arg(dir.path());
        mount.output().is_ok_and(|out| out.status.success()).then_some(Mount(dir))
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().expect("a path")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("fill")
    }

    pub fn fill(&self, megabytes: usize) {
        std::fs::write(self.file(), vec![1; megabytes << 20]).expect("a file");
    }

    pub fn empty(&self) {
        std::fs::remove_file(self.file()).expect("a file");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        _ = Command::new("umount").arg(self.path()).status();
    }
}
