//! Which server this is and how it is set up.

#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature, for the table of routes")]

use serde_json::json;

use super::{Context, Handled};
use crate::http::Answer;
use http::StatusCode;

pub(super) fn public_info(context: &Context<'_>) -> Handled {
    let flavor = context.flavor;
    Ok(context.world.read(|model| {
        if flavor.is_emby() {
            return Answer::json(&json!({
                "LocalAddress": "http://127.0.0.1:8096",
                "LocalAddresses": [],
                "RemoteAddresses": [],
                "ServerName": model.name,
                "Version": flavor.version(),
                "Id": model.server_id,
            }));
        }
        Answer::json(&json!({
            "LocalAddress": "http://127.0.0.1:8096",
            "ServerName": model.name,
            "Version": flavor.version(),
            "ProductName": "Jellyfin Server",
            "OperatingSystem": "",
            "Id": model.server_id,
            "StartupWizardCompleted": true,
        }))
    }))
}

pub(super) fn info(context: &Context<'_>) -> Handled {
    let flavor = context.flavor;
    Ok(context.world.read(|model| {
        let mut info = json!({
            "LocalAddress": "http://127.0.0.1:8096",
            "ServerName": model.name,
            "Version": flavor.version(),
            "OperatingSystem": if flavor.is_emby() { "Linux" } else { "" },
            "OperatingSystemDisplayName": if flavor.is_emby() { "Linux" } else { "" },
            "Id": model.server_id,
            "HasPendingRestart": false,
            "IsShuttingDown": false,
            "SupportsLibraryMonitor": true,
            "WebSocketPortNumber": 8096,
            "CompletedInstallations": [],
            "CanSelfRestart": true,
            "CanLaunchWebBrowser": false,
            "ProgramDataPath": "/config",
            "ItemsByNamePath": "/config/metadata",
            "CachePath": "/cache",
            "LogPath": "/config/log",
            "InternalMetadataPath": "/config/metadata",
            "TranscodingTempPath": "/cache/transcodes",
            "HasUpdateAvailable": false,
        });
        let more = if flavor.is_emby() {
            json!({
                "LocalAddresses": [], "RemoteAddresses": [], "SystemUpdateLevel": "Release", "PackageName": "emby",
                "SupportsHttps": false, "SupportsLocalPortConfiguration": true, "SupportsWakeServer": false,
                "HttpServerPortNumber": 8096, "HttpsPortNumber": 8920, "SupportsAutoRunAtStartup": false,
                "HardwareAccelerationRequiresPremiere": true, "WakeOnLanInfo": [], "IsInMaintenanceMode": false,
            })
        } else {
            json!({
                "ProductName": "Jellyfin Server", "StartupWizardCompleted": true, "PackageName": "",
                "WebPath": "/usr/share/jellyfin/web", "CastReceiverApplications": [], "EncoderLocation": "System",
                "SystemArchitecture": "X64",
            })
        };
        if let (Some(info), serde_json::Value::Object(more)) = (info.as_object_mut(), more) {
            info.extend(more);
        }
        Answer::json(&info)
    }))
}

pub(super) fn ping(context: &Context<'_>) -> Handled {
    Ok(if context.flavor.is_emby() {
        Answer::new(StatusCode::OK, "text/plain", "Emby Server")
    } else {
        Answer::json(&json!("Jellyfin Server"))
    })
}

pub(super) fn health(_: &Context<'_>) -> Handled {
    Ok(Answer::new(StatusCode::OK, "text/plain", "Healthy"))
}

pub(super) fn endpoint(_: &Context<'_>) -> Handled {
    Ok(Answer::json(&json!({ "IsLocal": true, "IsInNetwork": true })))
}

pub(super) fn configuration(context: &Context<'_>) -> Handled {
    Ok(context.world.read(|model| {
        Answer::json(&json!({
            "MinResumePct": model.settings.min_resume_percent,
            "MaxResumePct": model.settings.max_resume_percent,
            "MinResumeDurationSeconds": model.settings.min_resume_seconds,
            "EnableLegacyAuthorization": model.settings.legacy_authorization,
            "ServerName": model.name,
            "IsStartupWizardCompleted": true,
            "PreferredMetadataLanguage": "en",
            "MetadataCountryCode": "US",
        }))
    }))
}

pub(super) fn branding(_: &Context<'_>) -> Handled {
    Ok(Answer::json(&json!({ "LoginDisclaimer": "", "CustomCss": "", "SplashscreenEnabled": false })))
}

pub(super) fn quick_connect(_: &Context<'_>) -> Handled {
    Ok(Answer::json(&json!(false)))
}
