//! Certificates of a test's own cluster: an authority, a server's and a client's, in its directory.

use anyhow::Result;
use fluvio::config::{TlsPaths, TlsPolicy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// The name that the server's certificate is for; each SPU is a name below it.
const DOMAIN: &str = "fluvio.test";

/// Where the files lie.
#[derive(Debug, Clone)]
pub struct Tls {
    dir: PathBuf,
}

impl Tls {
    /// Makes them.
    pub(super) fn new(dir: &Path) -> Result<Tls> {
        let tls = Tls { dir: dir.to_path_buf() };
        let authority = authority()?;
        std::fs::write(tls.path("ca.pem"), authority.pem())?;
        // One that has signed nothing here.
        std::fs::write(tls.path("other-ca.pem"), self::authority()?.pem())?;
        for (name, domains) in
            [("server", vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")]), ("client", vec!["client".into()])]
        {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(domains)?.signed_by(&key, &authority)?;
            std::fs::write(tls.path(&format!("{name}.pem")), certificate.pem())?;
            std::fs::write(tls.path(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(tls)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Arguments of a server that takes clients with a certificate of the authority alone, and its own
    /// parts at `plain`.
    pub(super) fn arguments(&self, plain: &str) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        let flags = [
            ("--server-cert", path("server.pem")),
            ("--server-key", path("server.key")),
            ("--ca-cert", path("ca.pem")),
            ("--bind-non-tls-public", plain.to_owned()),
        ];
        let named = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        ["--tls".to_owned(), "--enable-client-cert".to_owned()].into_iter().chain(named).collect()
    }

    fn paths(&self, authority: &str) -> TlsPaths {
        TlsPaths {
            domain: DOMAIN.into(),
            key: self.path("client.key"),
            cert: self.path("client.pem"),
            ca_cert: self.path(authority),
        }
    }

    /// How a client connects.
    pub(super) fn policy(&self) -> TlsPolicy {
        self.paths("ca.pem").into()
    }

    /// A Fluvio profile for the cluster at `address`; with an authority that has not signed the server's
    /// certificate if not `trusted`.
    pub(super) fn profile(&self, address: &str, trusted: bool) -> Result<PathBuf> {
        let paths = self.paths(if trusted { "ca.pem" } else { "other-ca.pem" });
        let text = format!(
            "version = \"2.0\"\ncurrent_profile = \"test\"\n[profile.test]\ncluster = \"test\"\n[cluster.test]\n\
             endpoint = \"{address}\"\n[cluster.test.tls]\ntls_policy = \"verified\"\ntls_source = \"files\"\n\
             [cluster.test.tls.certs]\ndomain = \"{DOMAIN}\"\nkey = {:?}\ncert = {:?}\nca_cert = {:?}\n",
            paths.key, paths.cert, paths.ca_cert
        );
        let path = self.path(if trusted { "profile" } else { "untrusted-profile" });
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "perfstream test authority");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
