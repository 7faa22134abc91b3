//! A Fluvio cluster for tests: one system controller and one SPU on free loopback ports.
//!
//! The server is no registry package: the binary `fluvio-run` is taken from `FLUVIO_RUN` or from
//! PATH.

use crate::cluster::{ClusterTopics, Target};
use anyhow::{Context, Result, bail};
use fluvio::metadata::topic::{CleanupPolicy, SegmentBasedPolicy, TopicSpec, TopicStorageConfig};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SPU_ID: u16 = 5001;
const START_WITHIN: Duration = Duration::from_secs(60);

/// Runs while it lives; stops what it started when dropped.
pub struct TestCluster {
    binary: PathBuf,
    dir: tempfile::TempDir,
    /// Public and private port of the system controller, then of the SPU
    ports: [u16; 4],
    sc: Option<Child>,
    spu: Option<Child>,
    runtime: tokio::runtime::Runtime,
}

/// How a topic of a test is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// Bytes of a segment
    pub segment_bytes: Option<u32>,
    /// Seconds that a full segment is kept
    pub seconds: Option<u32>,
}

/// The server binary, if there is one.
pub fn server() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FLUVIO_RUN") {
        return Some(PathBuf::from(path));
    }
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|dir| dir.join("fluvio-run")).find(|path| path.is_file())
}

impl TestCluster {
    /// A cluster that is ready; panics where there is no server, so tests that need one are ignored by
    /// default, and `cargo xtask test` includes them where it finds one.
    pub fn start() -> TestCluster {
        let binary =
            server().unwrap_or_else(|| panic!("no Fluvio server: `fluvio-run` is neither at FLUVIO_RUN nor on PATH"));
        TestCluster::of(binary).unwrap_or_else(|e| panic!("the test cluster did not start: {e:#}"))
    }

    fn of(binary: PathBuf) -> Result<TestCluster> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let dir = tempfile::tempdir()?;
        let mut cluster = TestCluster { binary, dir, ports: free_ports()?, sc: None, spu: None, runtime };
        cluster.register_spu()?;
        cluster.sc = Some(cluster.run("sc", |command, c| {
            command.arg("sc").arg("--local").arg(c.dir.path().join("meta"));
            command.arg("--bind-public").arg(address(c.ports[0])).arg("--bind-private").arg(address(c.ports[1]));
        })?);
        cluster.start_spu()?;
        cluster.wait()?;
        Ok(cluster)
    }

    /// Address of the system controller.
    pub fn address(&self) -> String {
        address(self.ports[0])
    }

    /// What to connect to.
    pub fn target(&self) -> Target {
        Target::Address(self.address())
    }

    /// A connection.
    pub fn connect(&self) -> Result<ClusterTopics> {
        ClusterTopics::connect(self.runtime.handle().clone(), &self.target())
    }

    /// A runtime that lives as long as the cluster.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Makes a topic and waits until its partitions can be read.
    pub fn create(&self, topic: &str, partitions: u32, keep: Keep) -> Result<()> {
        let mut spec: TopicSpec = TopicSpec::new_computed(partitions, 1, None);
        if let Some(seconds) = keep.seconds {
            spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds: seconds }));
        }
        if let Some(bytes) = keep.segment_bytes {
            spec.set_storage(TopicStorageConfig { segment_size: Some(bytes), max_partition_size: None });
        }
        let mut topics = self.connect()?;
        self.runtime.block_on(async {
            let admin = topics.cluster().client().admin().await;
            admin.create(topic.to_string(), false, spec).await
        })?;
        let until = Instant::now() + START_WITHIN;
        for partition in 0..partitions {
            use crate::Topics;
            while let Err(error) = topics.extent(topic, partition) {
                if Instant::now() > until {
                    return Err(error.context(format!("partition {topic}/{partition} is not ready")));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Kills the SPU without a warning.
    pub fn kill_spu(&mut self) {
        if let Some(mut spu) = self.spu.take() {
            // It may be dead already.
            drop(spu.kill());
            drop(spu.wait());
        }
    }

    /// Starts the SPU again, on the same data.
    pub fn start_spu(&mut self) -> Result<()> {
        self.spu = Some(self.run("spu", |command, c| {
            command.arg("spu").arg("-i").arg(SPU_ID.to_string());
            command.arg("-p").arg(address(c.ports[2])).arg("-v").arg(address(c.ports[3]));
            command.arg("--sc-addr").arg(address(c.ports[1])).arg("--log-base-dir").arg(c.dir.path().join("data"));
        })?);
        Ok(())
    }

    /// Process id of the SPU, while it runs.
    pub fn spu_pid(&self) -> Option<u32> {
        self.spu.as_ref().map(Child::id)
    }

    fn run(&self, name: &str, arguments: impl FnOnce(&mut Command, &TestCluster)) -> Result<Child> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(format!("{name}.log")))?;
        let mut command = Command::new(&self.binary);
        arguments(&mut command, self);
        // One fixed path for all SPUs of a machine is the default: another cluster's would be taken away.
        command.env("FLUVIO_METRIC_SPU", self.dir.path().join("spu.sock"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot run {}", self.binary.display()))
    }

    /// The SPU's registration, where the system controller finds it at its start.
    fn register_spu(&self) -> Result<()> {
        let dir = self.dir.path().join("meta").join("SPU");
        std::fs::create_dir_all(&dir)?;
        let (name, public, private) = (format!("custom-spu-{SPU_ID}"), self.ports[2], self.ports[3]);
        let text = format!(
            "!1.0.0\nmeta:\n  id: {name}\n  revision: 1\nkey: {name}\nstatus:\n  resolution: Online\nspec:\n  spuId: {SPU_ID}\n  \
             spuType: Custom\n  publicEndpoint:\n    port: {public}\n    ingress:\n    - hostname: 127.0.0.1\n      ip: null\n    \
             encryption: PLAINTEXT\n  privateEndpoint:\n    port: {private}\n    host: 127.0.0.1\n    encryption: PLAINTEXT\n"
        );
        Ok(std::fs::write(dir.join(format!("{name}.yaml")), text)?)
    }

    /// Until a topic can be written.
    fn wait(&self) -> Result<()> {
        let until = Instant::now() + START_WITHIN;
        loop {
            let ready = self.connect().and_then(|_| self.create("ready", 1, Keep::default()));
            match ready {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > until => bail!("{error:#}\n{}", tails(self.dir.path())),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.kill_spu();
        if let Some(mut sc) = self.sc.take() {
            drop(sc.kill());
            drop(sc.wait());
        }
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn free_ports() -> Result<[u16; 4]> {
    // Held together, so that they differ; between closing and use another process might take one.
    let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

fn tails(dir: &Path) -> String {
    let tail = |name: &str| {
        let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        format!("{name}:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    };
    format!("{}\n{}", tail("sc.log"), tail("spu.log"))
}
