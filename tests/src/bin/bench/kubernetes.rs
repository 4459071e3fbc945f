//! A Kubernetes without nodes: etcd and the API server, on free ports of the loopback. They are the programs that the cluster tests build, and need no
//! root. What the operator asks for is counted by the API server itself, in its audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config};
use rcgen::KeyPair;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The namespace that the operator works in.
pub const NAMESPACE: &str = "media";
/// Long enough for every start that isn't stuck.
const PATIENCE: Duration = Duration::from_mins(1);
const OPERATOR: &str = "operator";
const ADMIN: &str = "admin";

/// A running API server; gone when dropped.
pub struct Kubernetes {
    /// Whoever has this may do everything.
    pub client: Client,
    /// The operator's.
    pub kubeconfig: PathBuf,
    audit: PathBuf,
    _parts: [Child; 2],
    _folder: TempDir,
}

/// The folder of Kubernetes' programs, built if need be.
pub async fn programs() -> Result<PathBuf> {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/cluster");
    // What it builds, or why it can't, is told while it happens.
    let said = Command::new(&harness).arg("programs").stderr(Stdio::inherit()).output().await;
    let said = said.with_context(|| format!("{} can't be run", harness.display()))?;
    ensure!(said.status.success(), "there is no Kubernetes to be had");
    Ok(PathBuf::from(String::from_utf8(said.stdout)?.trim()))
}

impl Kubernetes {
    /// Starts one with the project's resources and an empty namespace, in which the operator may do everything, as in no other.
    pub async fn start(programs: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [clients, peers, api] = free_ports()?;
        let etcd_url = format!("http://127.0.0.1:{clients}");
        let etcd = part(
            &programs.join("etcd"),
            folder.path(),
            &[
                "--data-dir=etcd",
                "--log-level=warn",
                &format!("--listen-client-urls={etcd_url}"),
                &format!("--advertise-client-urls={etcd_url}"),
                &format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
            ],
        )?;
        let authority = folder.path().join("server.crt");
        write_settings(folder.path())?;
        let mut server = part(
            &programs.join("kube-apiserver"),
            folder.path(),
            &[
                &format!("--etcd-servers={etcd_url}"),
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                // Nobody asks for the Service kubernetes.
                "--endpoint-reconciler-type=none",
                &format!("--secure-port={api}"),
                "--tls-cert-file=server.crt",
                "--tls-private-key-file=server.key",
                "--token-auth-file=tokens.csv",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-account-signing-key-file=server.key",
                "--service-account-key-file=accounts.pub",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--audit-policy-file=audit.json",
                "--audit-log-path=audit.log",
                // Else a long log is begun anew.
                "--audit-log-maxsize=100000",
                "--shutdown-delay-duration=0s",
            ],
        )?;
        let kubeconfig = |user: &str| kubeconfig(api, &authority, user);
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(OPERATOR).to_string())?;
        let admin: Kubeconfig = serde_json::from_value(kubeconfig(ADMIN))?;
        let client = Client::try_from(Config::from_custom_kubeconfig(admin, &<_>::default()).await?)?;
        answers(&client, &mut server, folder.path()).await?;
        prepare(&client).await?;
        let audit = folder.path().join("audit.log");
        Ok(Self { client, kubeconfig: path, audit, _parts: [server, etcd], _folder: folder })
    }

    /// The end of what is in the audit log now.
    pub fn mark(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.audit)?.len())
    }

    /// What the operator has asked for between a mark and now.
    pub fn requests_since(&self, mark: u64) -> Result<Requests> {
        let mut text = String::new();
        let mut log = File::open(&self.audit)?;
        log.seek(SeekFrom::Start(mark))?;
        log.read_to_string(&mut text)?;
        let mut requests = Requests::default();
        for line in text.lines() {
            requests.count(serde_json::from_str(line).context("the audit log")?);
        }
        Ok(requests)
    }
}

/// Requests to the API server.
#[derive(Debug, Default)]
pub struct Requests {
    /// How many, by verb and resource.
    by_kind: BTreeMap<(String, String), u64>,
    /// Those that keep the lease.
    pub leases: u64,
}

/// What is read of an entry of the audit log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(default)]
    object_ref: Object,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
}

impl Requests {
    /// Watches count when they begin, all others when they are answered.
    fn count(&mut self, entry: Entry) {
        let Entry { stage, verb, object_ref: Object { resource, subresource } } = entry;
        if (stage == "ResponseStarted") != (verb == "watch") {
            return;
        }
        if resource == "leases" {
            self.leases += 1;
            return;
        }
        let what = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        *self.by_kind.entry((verb, what)).or_default() += 1;
    }

    /// All but those for the lease.
    pub fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Those that write, the lease left out.
    pub fn writes(&self) -> u64 {
        let reads = ["get", "list", "watch"];
        self.by_kind.iter().filter(|((verb, _), _)| !reads.contains(&verb.as_str())).map(|(_, count)| count).sum()
    }

    /// `list 6 (cronjobs 2, …), patch 1 (…)`.
    pub fn by_verb(&self) -> String {
        let mut verbs: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
        for ((verb, what), count) in &self.by_kind {
            let (sum, parts) = verbs.entry(verb).or_default();
            *sum += count;
            parts.push(format!("{what} {count}"));
        }
        let verbs: Vec<String> =
            verbs.into_iter().map(|(verb, (sum, parts))| format!("{verb} {sum} ({})", parts.join(", "))).collect();
        if verbs.is_empty() { "none".to_owned() } else { verbs.join(", ") }
    }
}

/// Ports that nobody uses now.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until each is known, so that none comes twice.
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
    let ports: Vec<u16> = held.iter().map(|held| Ok(held.local_addr()?.port())).collect::<std::io::Result<_>>()?;
    ports.try_into().map_err(|_| anyhow::anyhow!("as many ports as were asked for"))
}

/// Starts a part, with its folder to work in.
fn part(program: &Path, folder: &Path, arguments: &[&str]) -> Result<Child> {
    let name = program.file_name().context("a program has a name")?.to_owned();
    let log = File::create(folder.join(name).with_extension("out"))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("{} can't be run", program.display()))
}

/// A certificate that signs for itself, keys, tokens, and what is audited.
fn write_settings(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?.pem();
    let tokens = format!("{ADMIN},{ADMIN},{ADMIN},system:masters\n{OPERATOR},{OPERATOR},{OPERATOR}\n");
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [OPERATOR]}, {"level": "None"}],
    });
    for (name, text) in [
        ("server.crt", &certificate),
        ("server.key", &key.serialize_pem()),
        ("accounts.pub", &key.public_key_pem()),
        ("tokens.csv", &tokens),
        ("audit.json", &policy.to_string()),
    ] {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

fn kubeconfig(port: u16, authority: &Path, user: &str) -> Value {
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"),
        "certificate-authority": authority,
    });
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": user}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user, "namespace": NAMESPACE}}],
    })
}

/// Waits until it is ready.
async fn answers(client: &Client, server: &mut Child, folder: &Path) -> Result<()> {
    let waiting = async {
        loop {
            let asked = http::Request::get("/readyz").body(Vec::new())?;
            if client.request_text(asked).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = server.try_wait()? {
                bail!("the API server ended: {status}");
            }
            // It can only be asked.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answered = timeout(PATIENCE, waiting).await.context("the API server doesn't come").and_then(|come| come);
    answered.with_context(|| {
        let log = std::fs::read_to_string(folder.join("kube-apiserver.out")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    })
}

/// The definitions, the namespace, and what the operator may do there.
async fn prepare(client: &Client) -> Result<()> {
    let definitions = Api::all(client.clone());
    for (_, definition) in watchstate_crds::definitions() {
        let name = definition.metadata.name.clone().context("a definition has a name")?;
        definitions.create(&PostParams::default(), &definition).await?;
        let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
        timeout(PATIENCE, established).await.with_context(|| format!("{name} isn't served"))??;
    }
    let namespace = object::<Namespace>(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let group = "rbac.authorization.k8s.io";
    let binding = object::<RoleBinding>(json!({
        "metadata": {"name": OPERATOR},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": OPERATOR}],
    }))?;
    Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// An object from its JSON.
pub fn object<K: DeserializeOwned>(value: Value) -> Result<K> {
    Ok(serde_json::from_value(value)?)
}
