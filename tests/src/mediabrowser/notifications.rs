//! Webhooks as an administrator sets them up: Jellyfin's plug-in *Webhook*, Emby's notifications. What is set up is sent from then on.

#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature, for the table of routes")]

use http::StatusCode;
use serde_json::{Value, json};

use super::{Context, Handled};
use crate::http::Answer;
use crate::webhook::{Shape, Target, Webhooks};
use crate::world::{PLUGIN, hex};

pub(super) fn plugins(context: &Context<'_>) -> Handled {
    let installed = context.flavor.is_jellyfin() && context.world.read(|model| model.notifications.plugin.is_some());
    let plugins = installed.then(|| {
        json!({
            "Name": "Webhook",
            "Version": "21.0.0.0",
            "ConfigurationFileName": "Jellyfin.Plugin.Webhook.xml",
            "Description": "Sends notifications to various services via webhooks.",
            "Id": PLUGIN,
            "CanUninstall": true,
            "HasImage": true,
            "Status": "Active",
        })
    });
    Ok(Answer::json(&plugins.into_iter().collect()))
}

pub(super) fn configuration(context: &Context<'_>) -> Handled {
    installed(context)?;
    Ok(context.world.read(|model| Answer::json(&json!(model.notifications.plugin))))
}

pub(super) fn configure(context: &Context<'_>) -> Handled {
    installed(context)?;
    let body: Value = context.call.json().ok_or_else(|| context.refuse(StatusCode::BAD_REQUEST))?;
    let targets = body["GenericOptions"].as_array().into_iter().flatten().filter_map(|entry| {
        let header = entry["Headers"].as_array()?.iter().find_map(|header| {
            let (key, value) = (header["Key"].as_str()?, header["Value"].as_str()?);
            Some((key.to_owned(), value.to_owned()))
        });
        let on = entry["EnableWebhook"] != false && entry["SendAllProperties"] == true;
        let target = Target { header, shape: Some(Shape::JellyfinText), ..Target::new(entry["WebhookUri"].as_str()?) };
        on.then_some(target)
    });
    send(context, targets);
    context.world.edit(|model| model.notifications.plugin = Some(body.clone()));
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

fn installed(context: &Context<'_>) -> Result<(), Answer> {
    let ours = context.params.first().is_some_and(|id| id.replace('-', "").eq_ignore_ascii_case(PLUGIN));
    let there = context.world.read(|model| model.notifications.plugin.is_some());
    if ours && there { Ok(()) } else { Err(context.not_found()) }
}

pub(super) fn configured(context: &Context<'_>) -> Handled {
    let user = owner(context)?;
    let own = |entry: &&Value| entry["UserId"] == user.as_str();
    Ok(context.world.read(|model| {
        let entries: Vec<&Value> = model.notifications.emby.iter().filter(own).collect();
        Answer::json(&json!(entries))
    }))
}

pub(super) fn notify(context: &Context<'_>) -> Handled {
    let user = owner(context)?;
    let mut entry: Value = context.call.json().ok_or_else(|| context.refuse(StatusCode::BAD_REQUEST))?;
    context.world.edit(|model| {
        let id = entry["Id"].as_str().map_or_else(|| hex(&format!("notification {}", model.next_id)), str::to_owned);
        model.next_id += 1;
        entry["Id"] = id.into();
        entry["UserId"] = user.into();
        // Options are texts to the server.
        if let Some(options) = entry["Options"].as_object_mut() {
            for option in options.values_mut().filter(|option| option.is_boolean()) {
                *option = option.to_string().into();
            }
        }
        model.notifications.emby.retain(|known| known["Id"] != entry["Id"]);
        model.notifications.emby.push(entry);
    });
    resend(context);
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

pub(super) fn forget(context: &Context<'_>) -> Handled {
    let user = owner(context)?;
    let id = context.call.value("Id").unwrap_or_default().to_owned();
    let gone = |entry: &Value| entry["Id"] == id.as_str() && entry["UserId"] == user.as_str();
    context.world.edit(|model| model.notifications.emby.retain(|entry| !gone(entry)));
    resend(context);
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

/// Whose notifications a call is about. Without a user the server fails.
fn owner(context: &Context<'_>) -> Result<String, Answer> {
    if context.world.read(|model| model.notifications.without_premiere) {
        return Err(context.refuse(StatusCode::FORBIDDEN));
    }
    context.query_user()?.ok_or_else(|| context.refuse(StatusCode::INTERNAL_SERVER_ERROR))
}

fn resend(context: &Context<'_>) {
    let entries = context.world.read(|model| model.notifications.emby.clone());
    let on = entries.iter().filter(|entry| entry["Enabled"] == true);
    send(context, on.filter_map(|entry| Some(Target::new(entry["Options"]["Url"].as_str()?))));
}

/// From now on events go there and nowhere else that was set up so before.
fn send(context: &Context<'_>, targets: impl Iterator<Item = Target>) {
    let webhooks = targets.filter_map(|target| Webhooks::start(context.world, target).ok()).collect();
    context.world.webhooks().set_up(webhooks);
}
