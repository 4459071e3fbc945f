//! Where backups go: what a backup's pod needs for a volume or for a bucket. Pure.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, KeyToPath, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};
use watchstate_crds::reference::BucketSecretRef;
use watchstate_crds::sync_schedule::{Backup, Bucket, VolumeClaim};

use super::pod::{from_secret, plain};

/// What a pod needs to reach the place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Destination {
    /// The worker's arguments behind `backup`.
    pub args: Vec<String>,
    /// More variables.
    pub env: Vec<EnvVar>,
    /// More volumes.
    pub volumes: Vec<Volume>,
    /// Where they are mounted.
    pub mounts: Vec<VolumeMount>,
}

const VOLUME: &str = "backups";
const FOLDER: &str = "/backups";
const SCRATCH: &str = "scratch";
/// Files are made whole here before they are sent.
const SCRATCH_FOLDER: &str = "/tmp";
const AUTHORITY: &str = "bucket-ca";
const AUTHORITY_FOLDER: &str = "/etc/watchstate/bucket";
const CA_CRT: &str = "ca.crt";

/// What `backup` needs. The schema has seen to it that there is exactly one place.
pub fn of(backup: &Backup) -> Destination {
    let mut destination = match (&backup.to.volume_claim, &backup.to.bucket) {
        (Some(claim), _) => volume(claim),
        (None, Some(bucket)) => s3(bucket),
        (None, None) => Destination::default(),
    };
    destination.args.extend(["--keep".to_owned(), backup.keep.to_string()]);
    destination
}

fn volume(claim: &VolumeClaim) -> Destination {
    let folder = claim.path.as_ref().map_or_else(|| FOLDER.to_owned(), |path| format!("{FOLDER}/{path}"));
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.claim_name.clone(), read_only: None };
    Destination {
        args: vec!["--to".to_owned(), folder],
        env: Vec::new(),
        volumes: vec![Volume { name: VOLUME.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }],
        mounts: vec![mount(VOLUME, FOLDER, None)],
    }
}

fn s3(bucket: &Bucket) -> Destination {
    let prefix = bucket.prefix.as_ref().map(|prefix| format!("/{}", prefix.trim_end_matches('/'))).unwrap_or_default();
    let mut destination = Destination {
        args: vec!["--to".to_owned(), format!("s3://{}{prefix}", bucket.name)],
        env: vec![
            plain("AWS_REGION", &bucket.region),
            from_secret("AWS_ACCESS_KEY_ID", &bucket.secret_ref.name, BucketSecretRef::ACCESS_KEY_ID),
            from_secret("AWS_SECRET_ACCESS_KEY", &bucket.secret_ref.name, BucketSecretRef::SECRET_ACCESS_KEY),
        ],
        volumes: vec![Volume {
            name: SCRATCH.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        }],
        mounts: vec![mount(SCRATCH, SCRATCH_FOLDER, None)],
    };
    if let Some(endpoint) = &bucket.endpoint {
        destination.env.push(plain("AWS_ENDPOINT_URL_S3", endpoint));
    }
    if let Some(ca) = &bucket.ca_secret_ref {
        let items = vec![KeyToPath { key: ca.key.clone(), path: CA_CRT.to_owned(), mode: None }];
        let source = SecretVolumeSource {
            secret_name: Some(ca.name.clone()),
            items: Some(items),
            ..SecretVolumeSource::default()
        };
        destination.volumes.push(Volume { name: AUTHORITY.to_owned(), secret: Some(source), ..Volume::default() });
        destination.mounts.push(mount(AUTHORITY, AUTHORITY_FOLDER, Some(true)));
        destination.env.push(plain("AWS_CA_BUNDLE", &format!("{AUTHORITY_FOLDER}/{CA_CRT}")));
    }
    destination
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), read_only, ..VolumeMount::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(yaml: &str) -> Backup {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_volume_is_mounted_and_the_folder_in_it_named() {
        let at = |yaml: &str| of(&backup(yaml)).args;
        assert_eq!(at("{to: {volumeClaim: {claimName: nas}}}"), ["--to", "/backups", "--keep", "7"]);
        assert_eq!(
            at("{keep: 3, to: {volumeClaim: {claimName: nas, path: a/b}}}"),
            ["--to", "/backups/a/b", "--keep", "3"]
        );
        let destination = of(&backup("{to: {volumeClaim: {claimName: nas}}}"));
        let claim = destination.volumes[0].persistent_volume_claim.as_ref().unwrap();
        assert_eq!((claim.claim_name.as_str(), destination.mounts[0].mount_path.as_str()), ("nas", "/backups"));
        assert!(destination.env.is_empty());
    }

    #[test]
    fn a_bucket_is_reached_with_keys_that_stand_in_no_object_and_by_its_own_authority() {
        let least = of(&backup("{to: {bucket: {name: home-backups, secretRef: {name: keys}}}}"));
        assert_eq!(least.args, ["--to", "s3://home-backups", "--keep", "7"]);
        assert_eq!(
            least.env.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        );

        let full = of(&backup(
            "{to: {bucket: {name: home-backups, endpoint: 'https://minio:9000', region: eu, prefix: a/b/, \
             secretRef: {name: keys}, caSecretRef: {name: ca}}}}",
        ));
        assert_eq!(full.args[1], "s3://home-backups/a/b");
        let value = |name: &str| full.env.iter().find(|one| one.name == name).and_then(|one| one.value.as_deref());
        assert_eq!(value("AWS_REGION"), Some("eu"));
        assert_eq!(value("AWS_ENDPOINT_URL_S3"), Some("https://minio:9000"));
        assert_eq!(value("AWS_CA_BUNDLE"), Some("/etc/watchstate/bucket/ca.crt"));
        assert_eq!(full.mounts.len(), 2);
    }
}
