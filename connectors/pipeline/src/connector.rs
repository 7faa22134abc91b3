//! The contract of a Fluvio connector: `perfstream --config FILE [--secrets FILE]`, as `cdk deploy
//! local` calls it.
//!
//! ```yaml
//! apiVersion: 0.1.0
//! meta: { version: 0.1.0, name: my-analysis, type: perfstream, topic: lcp-stream }
//! perfstream:
//!   pipelines: [web-vitals.yaml]
//!   only: [lcp]
//!   cluster: ${{ secrets.CLUSTER }}
//! ```

use crate::diagnostic::render;
use crate::run::share::Instance;
use crate::source::Source;
use crate::yaml;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a connector's configuration asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Topic that Fluvio shows beside the connector; a pipeline must read it
    pub topic: String,
    /// Pipeline files
    pub pipelines: Vec<PathBuf>,
    /// Names of the pipelines to run; empty: all
    pub only: Vec<String>,
    /// `HOST:PORT`; None: the current profile
    pub cluster: Option<String>,
    /// Which share of the partitions
    pub instance: Instance,
    /// Where to serve metrics
    pub metrics: Option<SocketAddr>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: String,
    meta: Meta,
    perfstream: Section,
}

/// The parts of `meta` that mean something here; the rest is Fluvio's.
#[derive(Deserialize)]
struct Meta {
    topic: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    pipelines: Vec<PathBuf>,
    #[serde(default)]
    only: Vec<String>,
    cluster: Option<String>,
    instance: Option<String>,
    metrics: Option<SocketAddr>,
}

/// Reads a configuration; `secrets` is a file of `NAME=value` lines, without it they are variables of
/// the environment.
pub fn read(path: &Path, secrets: Option<&Path>) -> Result<Config> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
    let secrets = secrets.map(read_secrets).transpose()?;
    let mut value = tree(&name, &text)?;
    fill(&mut value, &|name| match &secrets {
        Some(secrets) => secrets.get(name).cloned(),
        None => std::env::var(name).ok(),
    })?;
    let file: File = serde_json::from_value(value).with_context(|| name.clone())?;
    ensure!(
        ["0.1.0", "0.2.0"].contains(&file.api_version.as_str()),
        "{name}: `apiVersion: {}`; 0.1.0 and 0.2.0 are known",
        file.api_version
    );
    // In 0.2.0 a topic is a whole topic configuration.
    let topic = file.meta.topic.as_str().or_else(|| file.meta.topic["meta"]["name"].as_str());
    let topic = topic.with_context(|| format!("{name}: `meta.topic` names no topic"))?.to_string();
    let section = file.perfstream;
    ensure!(!section.pipelines.is_empty(), "{name}: `perfstream.pipelines` is empty");
    let dir = path.parent().unwrap_or(Path::new(""));
    Ok(Config {
        topic,
        pipelines: section.pipelines.iter().map(|p| dir.join(p)).collect(),
        only: section.only,
        cluster: section.cluster,
        instance: section.instance.map(|i| i.parse()).transpose().with_context(|| name)?.unwrap_or_default(),
        metrics: section.metrics,
    })
}

fn tree(name: &str, text: &str) -> Result<Value> {
    let source = Source::new(name, text);
    let mut wrong = Vec::new();
    let documents = yaml::parse(&source, &mut wrong);
    if let Some(first) = wrong.first() {
        bail!("{}", render(first, Some(&source), false));
    }
    match documents.as_slice() {
        [document] => Ok(document.to_value()),
        _ => bail!("{name}: one document is expected, there are {}", documents.len()),
    }
}

fn read_secrets(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut secrets = BTreeMap::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // The line itself is not shown: it may be a secret.
        let (name, value) =
            line.split_once('=').with_context(|| format!("{}:{}: NAME=value is expected", path.display(), n + 1))?;
        secrets.insert(name.trim().to_string(), value.to_string());
    }
    Ok(secrets)
}

/// Puts secrets in the place of `${{ secrets.NAME }}`.
fn fill(value: &mut Value, secret: &impl Fn(&str) -> Option<String>) -> Result<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, secret)),
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, secret)),
        Value::String(text) => {
            let mut filled = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("${{") {
                let (inside, after) = after.split_once("}}").context("`${{` without `}}`")?;
                let name = inside.trim().strip_prefix("secrets.").context("`${{ … }}` holds `secrets.NAME`")?;
                filled.push_str(before);
                filled.push_str(&secret(name).with_context(|| format!("there is no secret `{name}`"))?);
                rest = after;
            }
            filled.push_str(rest);
            *text = filled;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "apiVersion: 0.1.0\nmeta: { version: 0.1.0, name: a, type: perfstream, topic: lcp-stream }\n\
                          perfstream:\n  pipelines: [web-vitals.yaml]\n  only: [lcp]\n  instance: 1/3\n\
                          \x20 cluster: ${{ secrets.HOST }}:9003\n";

    fn files(config: &str, secrets: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let (config_file, secret_file) = (dir.path().join("config.yaml"), dir.path().join("secrets.txt"));
        std::fs::write(&config_file, config).expect("a file");
        std::fs::write(&secret_file, secrets).expect("a file");
        (dir, config_file, secret_file)
    }

    #[test]
    fn a_configuration_with_a_secret() {
        let (dir, config, secrets) = files(CONFIG, "OTHER=x\nHOST=sc.example\n");
        let config = read(&config, Some(&secrets)).expect("a configuration");
        assert_eq!(config.pipelines, [dir.path().join("web-vitals.yaml")]);
        assert_eq!((config.topic.as_str(), config.cluster.as_deref()), ("lcp-stream", Some("sc.example:9003")));
        assert_eq!(config.instance, Instance::Fixed("1/3".parse().expect("a share")));
    }

    /// `Connector.toml`, which `cdk` reads, names the program and every key of the section.
    #[test]
    fn the_package_says_what_a_configuration_may_hold() {
        let package: toml::Table = include_str!("../Connector.toml").parse().expect("TOML");
        assert_eq!(package["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(package["deployment"]["binary"].as_str(), Some("perfstream"));
        let custom = &package["custom"];
        assert_eq!((custom["name"].as_str(), custom["required"][0].as_str()), (Some("perfstream"), Some("pipelines")));
        let properties = custom["properties"].as_table().expect("a table");
        // Serde lists the fields that it knows.
        let unknown = serde_json::from_value::<Section>(serde_json::json!({ "?": 1 })).err().expect("an error");
        let known: Vec<String> = unknown.to_string().split('`').skip(3).step_by(2).map(str::to_string).collect();
        assert_eq!(known.len(), 5, "{unknown}");
        assert!(known.iter().all(|name| properties.contains_key(name)) && properties.len() == known.len(), "{known:?}");
        for (name, property) in properties {
            for key in ["title", "description", "type"] {
                assert!(property[key].is_str(), "{name}: {key}");
            }
        }
    }

    #[test]
    fn faults_are_named_and_secrets_are_not() {
        for (config, secrets, said) in [
            (CONFIG.to_string(), "NOPE hunter2\n", "secrets.txt:1: NAME=value is expected"),
            (CONFIG.to_string(), "X=hunter2\n", "there is no secret `HOST`"),
            (CONFIG.replace("0.1.0\nmeta", "0.9.0\nmeta"), "HOST=hunter2\n", "apiVersion"),
            (CONFIG.replace("only", "onyl"), "HOST=hunter2\n", "unknown field `onyl`"),
            (CONFIG.replace("[web-vitals.yaml]", "[]"), "HOST=hunter2\n", "is empty"),
            (CONFIG.replace("1/3", "3/3"), "HOST=hunter2\n", "I/N"),
        ] {
            let (_dir, config, secrets) = files(&config, secrets);
            let error = format!("{:#}", read(&config, Some(&secrets)).expect_err(said));
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
    }
}
