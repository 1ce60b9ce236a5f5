//! The page, in plain HTML.

use std::fmt::{self, Write as _};

use axum::Extension;
use axum::extract::{Form, Query, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::api;
use super::guard::{Admin, cookie_for};
use super::status::{Decommission, Status};
use crate::http::{Core, Peer};
use crate::template::{Description, GrantDescription, Name, Summary};

#[derive(Deserialize)]
pub(super) struct FrontQuery {
    token: Option<String>,
}

/// What the forms of the page send.
#[derive(Deserialize)]
pub(super) struct Change {
    form_key: String,
    action: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    who: String,
    #[serde(default)]
    rights: String,
}

pub(super) async fn to_front() -> Redirect {
    Redirect::permanent("/admin/")
}

pub(super) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, include_str!("page/style.css")).into_response()
}

/// The page; or, for who brings the token in the address, a cookie and the address without it.
pub(super) async fn front(
    Extension(peer): Extension<Peer>,
    Extract(core): Extract<Core>,
    Query(query): Query<FrontQuery>,
    admin: Result<Admin, super::guard::Denied>,
) -> Response {
    if let Some(token) = query.token {
        return match cookie_for(&core, peer, &token).map(|text| HeaderValue::from_str(&text)) {
            Ok(Ok(cookie)) => {
                let mut headers = HeaderMap::new();
                headers.insert(header::SET_COOKIE, cookie);
                (headers, Redirect::to("/admin/")).into_response()
            }
            Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Err(denied) => denied.into_response(),
        };
    }
    match admin {
        Ok(admin) => show(&core, &admin, None).await,
        Err(denied) => denied.into_response(),
    }
}

/// Makes or changes a template, and shows the page again.
pub(super) async fn change_template(
    admin: Admin,
    Extract(core): Extract<Core>,
    Form(change): Form<Change>,
) -> Response {
    if let Err(denied) = admin.may_change(Some(&change.form_key)) {
        return denied.into_response();
    }
    let outcome = if change.action == "create" {
        api::put(&core, &change.description()).await.map(|_| ())
    } else {
        api::act(&core, &change.id, &change.action).await
    };
    match outcome {
        // Loading the page again must not make the change again.
        Ok(()) => Redirect::to("/admin/#templates").into_response(),
        Err(error) => {
            let mut response = show(&core, &admin, Some(&error.to_string())).await;
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

impl Change {
    fn description(&self) -> Description {
        let words = |text: &str| -> Vec<String> {
            let words = text
                .split([',', ' ', '\n', '\r'])
                .filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let rights = words(&self.rights);
        let grant = |who| GrantDescription {
            who,
            rights: rights.clone(),
            days: None,
        };
        let name = Name {
            lcid: 1033,
            name: self.name.clone(),
            description: self.description.clone(),
        };
        Description {
            id: None,
            names: vec![name],
            grant: words(&self.who).into_iter().map(grant).collect(),
            valid_days: None,
            valid_until: None,
            referral: None,
            ask_every_time: false,
            browsers: false,
            data: std::collections::BTreeMap::new(),
            published: true,
        }
    }
}

async fn show(core: &Core, admin: &Admin, complaint: Option<&str>) -> Response {
    match Status::gather(core).await {
        Ok(status) => {
            let mut out = String::with_capacity(16 << 10);
            // Writing to a string cannot fail.
            let _ = write_page(&mut out, &status, &admin.form_key, complaint);
            Html(out).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the administration page failed");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer.\n",
            )
                .into_response()
        }
    }
}

fn write_page(
    out: &mut String,
    status: &Status,
    form_key: &str,
    complaint: Option<&str>,
) -> fmt::Result {
    let name = Text(&status.name);
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{name} · OpenRMS</title><link rel=\"stylesheet\" href=\"/admin/style.css\">\
         </head><body><a class=\"skip\" href=\"#main\">Skip to content</a>\
         <header><p class=\"product\">OpenRMS</p><h1>{name}</h1><p>{}</p></header>\
         <main id=\"main\">",
        health(status)
    )?;
    if let Some(complaint) = complaint {
        write!(
            out,
            "<p class=\"complaint\" role=\"alert\">{}</p>",
            Text(complaint)
        )?;
    }
    if let Some(ended) = &status.decommission {
        decommissioned(out, status, ended)?;
    } else {
        cluster(out, status)?;
        certificate(out, status)?;
        activity(out, status)?;
        templates(out, &status.templates, form_key)?;
        new_template(out, form_key)?;
    }
    write!(
        out,
        "</main><footer><p>OpenRMS {} · configuration {} · \
         <a href=\"/admin/api/status\">status as JSON</a> · <a href=\"/metrics\">metrics</a></p>\
         </footer></body></html>",
        status.version, status.configuration_version
    )
}

fn health(status: &Status) -> &'static str {
    if status.decommissioned {
        "<strong class=\"bad\">Decommissioned</strong>: content can be freed, not licensed."
    } else if status.slc.valid_now && status.slc.event.is_some() {
        "<strong class=\"good\">In service</strong>, but the server licensor certificate ends \
         soon. Renew it with <code>rmsd renew</code>."
    } else if status.slc.valid_now {
        "<strong class=\"good\">In service</strong>"
    } else if status.slc.enrolled {
        "<strong class=\"bad\">Not in service</strong>: the server licensor certificate is not \
         valid now. Renew it with <code>rmsd renew</code>."
    } else {
        "<strong class=\"bad\">Not in service</strong>: nobody has certified this server yet. \
         <code>rmsd enroll request</code> writes what its authority is to sign."
    }
}

/// All that is left to see.
fn decommissioned(out: &mut String, status: &Status, ended: &Decommission) -> fmt::Result {
    out.push_str(
        "<section class=\"wide\" aria-labelledby=\"h-end\"><h2 id=\"h-end\">Decommissioned \
         server information</h2><p>This cluster certifies, publishes and licenses nothing any \
         more. It gives out the content keys of what was protected with it, so that people can \
         free it with <code>rms free</code>.</p><dl>",
    );
    row(
        out,
        "Decommissioned",
        ended.since.as_deref().unwrap_or("at an unknown time"),
    )?;
    row(out, "Decommissioning service", &ended.url)?;
    row(out, "Gives content keys to", &ended.open_to)?;
    row(out, "Base URL", &status.urls.base)?;
    if let Some(id) = &status.slc.id {
        row(out, "Server", id)?;
    }
    out.push_str("<div><dt>Keys kept for content</dt><dd><ul>");
    for key in &ended.keys {
        write!(out, "<li>{}</li>", Text(key))?;
    }
    out.push_str("</ul></dd></div></dl></section>");
    Ok(())
}

fn cluster(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str("<section aria-labelledby=\"h-cluster\"><h2 id=\"h-cluster\">Cluster</h2><dl>");
    row(out, "Base URL", &status.urls.base)?;
    row(out, "Certification", &status.urls.certification)?;
    row(out, "Licensing", &status.urls.licensing)?;
    let mode = match status.mode {
        1 => "1 (RSA-1024, SHA-1)".to_owned(),
        _ => "2 (RSA-2048, SHA-256)".to_owned(),
    };
    row(out, "Cryptographic mode", &mode)?;
    row(out, "Service level", status.service_level)?;
    row(out, "Speaks as version", &status.server_version)?;
    out.push_str("</dl></section>");
    Ok(())
}

fn certificate(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str(
        "<section aria-labelledby=\"h-slc\"><h2 id=\"h-slc\">Server licensor certificate</h2><dl>",
    );
    let Some(id) = &status.slc.id else {
        out.push_str("<div><dt>Server</dt><dd>not enrolled</dd></div></dl></section>");
        return Ok(());
    };
    row(out, "Server", id)?;
    row(
        out,
        "Key",
        status.slc.fingerprint.as_deref().unwrap_or_default(),
    )?;
    row(
        out,
        "Valid until",
        status.slc.valid_until.as_deref().unwrap_or("no end"),
    )?;
    if let Some(days) = status.slc.days_left {
        row(out, "Days left", &days.to_string())?;
    }
    if let Some(root) = &status.root_cluster {
        row(out, "Root cluster", root)?;
    }
    out.push_str("<div><dt>Hierarchy</dt><dd><ol class=\"chain\" reversed>");
    for name in &status.hierarchy {
        write!(out, "<li>{}</li>", Text(name))?;
    }
    out.push_str("</ol></dd></div></dl></section>");
    Ok(())
}

fn activity(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str("<section aria-labelledby=\"h-use\"><h2 id=\"h-use\">In use</h2><dl>");
    row(out, "Certified users", &status.certified_users.to_string())?;
    row(out, "Forest", &status.forest)?;
    for (name, count) in [("People", status.people), ("Groups", status.groups)] {
        if let Some(count) = count {
            row(out, name, &count.to_string())?;
        }
    }
    row(out, "Connections", &status.connections.to_string())?;
    row(out, "Keys protected by", status.key_protection)?;
    row(out, "Keys in stock", &status.key_pool.to_string())?;
    for (name, cache) in [
        ("Certificate cache", &status.caches.certificates),
        ("License cache", &status.caches.licenses),
    ] {
        row(
            out,
            name,
            &format!("{} found, {} not found", cache.hits, cache.misses),
        )?;
    }
    row(out, "Log", if status.log { "on" } else { "off" })?;
    out.push_str("</dl></section>");
    Ok(())
}

fn templates(out: &mut String, templates: &[Summary], form_key: &str) -> fmt::Result {
    out.push_str(
        "<section class=\"wide\" id=\"templates\" aria-labelledby=\"h-templates\">\
         <h2 id=\"h-templates\">Rights policy templates</h2>",
    );
    if templates.is_empty() {
        out.push_str("<p>There are none yet.</p></section>");
        return Ok(());
    }
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Name</th>\
         <th scope=\"col\">Who may do what</th><th scope=\"col\">State</th>\
         <th scope=\"col\">Change</th></tr></thead><tbody>",
    );
    for template in templates {
        let name = template.names.first();
        let title = name.map_or(template.id.as_str(), |name| name.name.as_str());
        write!(out, "<tr><th scope=\"row\">{}", Text(title))?;
        if let Some(about) = name.filter(|name| !name.description.is_empty()) {
            write!(out, "<br><small>{}</small>", Text(&about.description))?;
        }
        write!(
            out,
            "<br><small><code>{}</code></small></th><td><ul>",
            Text(&template.id)
        )?;
        for grant in &template.grants {
            write!(
                out,
                "<li>{}: {}",
                Text(&grant.who),
                Text(&grant.rights.join(", "))
            )?;
            if let Some(days) = grant.days {
                write!(out, " (renewed every {days} days)")?;
            }
            out.push_str("</li>");
        }
        out.push_str("</ul>");
        match (template.valid_days, &template.valid_until) {
            (Some(days), _) => write!(out, "<small>ends {days} days after publishing</small>")?,
            (None, Some(until)) => write!(out, "<small>ends {} UTC</small>", Text(until))?,
            (None, None) => {}
        }
        let (state, action, label) = if template.published {
            ("Offered", "archive", "Archive")
        } else {
            ("Archived", "publish", "Offer")
        };
        write!(out, "</td><td>{state}</td><td>")?;
        button(out, form_key, &template.id, (action, label, title))?;
        button(out, form_key, &template.id, ("delete", "Delete", title))?;
        out.push_str("</td></tr>");
    }
    out.push_str(
        "</tbody></table></div><p><small>After a template was deleted, nobody gets a license for what \
         was published with it any more; licenses given before stay good until they end. Archiving \
         only stops offering it.</small></p></section>",
    );
    Ok(())
}

fn button(
    out: &mut String,
    form_key: &str,
    id: &str,
    (action, label, title): (&str, &str, &str),
) -> fmt::Result {
    write!(
        out,
        "<form method=\"post\" action=\"/admin/templates\">\
         <input type=\"hidden\" name=\"form_key\" value=\"{}\">\
         <input type=\"hidden\" name=\"id\" value=\"{}\">\
         <button name=\"action\" value=\"{action}\">{label}<span class=\"unseen\"> {}</span>\
         </button></form>",
        Text(form_key),
        Text(id),
        Text(title)
    )
}

fn new_template(out: &mut String, form_key: &str) -> fmt::Result {
    write!(
        out,
        "<section class=\"wide\" aria-labelledby=\"h-new\"><h2 id=\"h-new\">New template</h2>\
         <form class=\"new\" method=\"post\" action=\"/admin/templates\">\
         <input type=\"hidden\" name=\"form_key\" value=\"{}\">\
         <label>Name <input name=\"name\" required maxlength=\"200\"></label>\
         <label>Description <input name=\"description\" maxlength=\"1000\"></label>\
         <label>Who <input name=\"who\" required aria-describedby=\"who-help\"></label>\
         <p id=\"who-help\"><small>Mail addresses of people or groups with commas between, or \
         <code>everyone</code>.</small></p>\
         <label>Rights <input name=\"rights\" required value=\"VIEW\" \
         aria-describedby=\"rights-help\"></label>\
         <p id=\"rights-help\"><small>For example VIEW, PRINT, EDIT, EXTRACT, REPLY, REPLYALL, \
         FORWARD, EXPORT, OWNER. Authors keep every right.</small></p>\
         <button name=\"action\" value=\"create\">Sign and offer it</button></form></section>",
        Text(form_key)
    )
}

fn row(out: &mut String, term: &str, value: &str) -> fmt::Result {
    write!(out, "<div><dt>{term}</dt><dd>{}</dd></div>", Text(value))
}

/// Text that stands for itself in HTML, also inside quotes.
pub(crate) struct Text<'t>(pub(crate) &'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_stays_text() {
        let shown = Text("<b a='1' b=\"2\">&").to_string();
        assert_eq!(shown, "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;");
    }
}
