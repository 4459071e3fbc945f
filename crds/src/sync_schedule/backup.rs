//! Where backups go: one documented JSON Lines file a person, into a volume or a bucket.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::address;
use crate::pattern;
use crate::reference::{BucketSecretRef, CaSecretRef};

/// Writing all watch states to files outside the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// When to write a backup, as a cron expression of five fields. Default: 0 6 */3 * * (every third day).
    #[serde(default = "Backup::schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub schedule: String,
    /// How many backups are kept; older ones are deleted. Default: 7.
    #[serde(default = "Backup::seven")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: i32,
    /// Where backups go: exactly one of volumeClaim and bucket.
    pub to: BackupTarget,
}

impl Backup {
    fn schedule() -> String {
        "0 6 */3 * *".to_owned()
    }

    fn seven() -> i32 {
        7
    }
}

/// Where backups go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::ONE_TARGET)]
pub struct BackupTarget {
    /// A volume of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
    /// A bucket that speaks S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Bucket>,
}

/// A folder in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaim {
    /// Name of a PersistentVolumeClaim in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub claim_name: String,
    /// Folder inside the volume, for example backups/watchstate; made where it is missing. Missing: the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = pattern::LINE))]
    #[x_kube(validation = rules::PATH_STAYS_INSIDE)]
    pub path: Option<String>,
}

/// A bucket that speaks S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = pattern::BUCKET))]
    pub name: String,
    /// Address of the service, for example https://minio.storage.svc:9000. Missing: Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = address::RULE)]
    pub endpoint: Option<String>,
    /// Region of the bucket. Default: us-east-1, which most services other than Amazon's take as well.
    #[serde(default = "Bucket::region")]
    #[schemars(length(min = 1, max = 63), regex(pattern = pattern::NAME))]
    pub region: String,
    /// What the names of all objects begin with, for example watchstate/home. Missing: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = pattern::LINE))]
    #[x_kube(validation = rules::PATH_STAYS_INSIDE)]
    pub prefix: Option<String>,
    /// A Secret with the keys accessKeyId and secretAccessKey.
    pub secret_ref: BucketSecretRef,
    /// A Secret with the certificates of a private authority that signed the service's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
}

impl Bucket {
    fn region() -> String {
        "us-east-1".to_owned()
    }
}
