//! `EditIssuanceLicense`: a publishing license signed anew with other rights for the same content
//! (MS-RMSI 3.4.4.1).
//!
//! The specification leaves it to the administrator who may do this, with any license that opts
//! in. Here the caller must also hold the right in that license, or else whoever may call could
//! give themselves any content. And what is asked for must stay a license for that content by
//! that author, published when it was.

use openrms_directory::Identity;
use openrms_protocol::republishing::{EditIssuanceLicense, EditIssuanceLicenseResponse};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_xrml::Object;
use openrms_xrml::pl::{PlContent, ServerPart};
use openrms_xrml::rights_data::RightsData;

use crate::accounts::signed_in;
use crate::caller::Caller;
use crate::cluster::LicensingServer;
use crate::context::{Context, check_in_service};
use crate::decision::{Person, check_license, decide, policy_now};
use crate::evaluate::{Grant, Ground};
use crate::licenses::{Author, OpenedLicense, open_license};
use crate::publish::{Unsigned, check_template, open_unsigned};
use crate::refusal::Refusal;

/// A PL was signed anew.
#[derive(Debug)]
pub struct Republished {
    /// The answer.
    pub response: EditIssuanceLicenseResponse<'static>,
    /// Content identifier, for the log.
    pub content: String,
    /// Why the caller may do this, for the log.
    pub ground: Ground,
}

/// Decides on an `EditIssuanceLicense` request.
pub async fn edit_issuance_license(
    context: &Context<'_>,
    caller: &Caller,
    request: &EditIssuanceLicense<'_>,
) -> Result<Republished, Refusal> {
    check_in_service(context)?;
    let cluster = context.cluster;
    if !cluster.policies.online_publishing_enabled {
        let reason = "online publishing is switched off";
        return Err(Refusal::new(FaultCode::OnlinePublishingDisabled, reason));
    }
    let identity = Identity::from(signed_in(caller)?);
    let signed = &request.signed_issuance_license;
    let (opened, server) = open_signed(context, signed)?;
    let grant = may_edit(context, &opened, server, &identity).await?;
    let unsigned = open_unsigned(cluster, &request.unsigned_issuance_license)?;
    let content = check_same_content(&opened, &unsigned)?;
    check_same_author(&opened, &unsigned)?;

    let unspecified = |reason: String| Refusal::new(FaultCode::UnspecifiedError, reason);
    let rights = opened
        .content
        .republish(&grant, &unsigned.rights, proven_author(&opened))
        .map_err(|error| unspecified(error.to_string()))?;
    let current = cluster.server()?;
    let version = cluster.mode.sealed_key_version();
    let binding = PlContent::binding_text(current.identity());
    let sealed = opened
        .content
        .rebind(current.key.as_ref(), version, &binding)
        .map_err(|error| unspecified(error.to_string()))?;
    let part = ServerPart {
        // Days go on being counted from when the content was published.
        issued: opened.published.floor_minute(),
        issuer: current.identity(),
        licensing_url: &cluster.licensing_url(),
        external_licensing_url: cluster.policies.external_licensing_url.as_deref(),
        sealed_key: &sealed,
    };
    let text = unsigned.license.republish_as_server(
        &part,
        &rights,
        current.key.as_ref(),
        cluster.mode.hash(),
    )?;
    let leaf = CertificateText::new(text).map_err(|error| unspecified(error.to_string()))?;
    Ok(Republished {
        response: EditIssuanceLicenseResponse {
            certificate_chain: CertificateChain(vec![leaf]),
        },
        content: content.to_owned(),
        ground: grant.ground(),
    })
}

/// The license that holds until now; whatever is wrong with it has one name here.
fn open_signed<'c>(
    context: &Context<'c>,
    chain: &CertificateChain<'_>,
) -> Result<(std::sync::Arc<OpenedLicense>, &'c LicensingServer), Refusal> {
    let (cluster, caches) = (context.cluster, context.caches);
    let invalid = |refusal: Refusal| match refusal.code {
        FaultCode::UnspecifiedError => refusal,
        _ => Refusal::new(FaultCode::InvalidSignedIssuanceLicense, refusal),
    };
    let (opened, server) =
        open_license(cluster, &caches.certificates, &caches.licenses, chain).map_err(invalid)?;
    check_license(context, &opened).map_err(invalid)?;
    check_template(cluster, &opened.rights)?;
    Ok((opened, server))
}

/// The caller's grant in the license as it is, which must allow changing it.
async fn may_edit(
    context: &Context<'_>,
    opened: &OpenedLicense,
    server: &LicensingServer,
    identity: &Identity,
) -> Result<Grant, Refusal> {
    let illegal =
        |reason: &dyn ToString| Refusal::new(FaultCode::ServerRepublishIllegal, reason.to_string());
    let policy = policy_now(context, opened, server).map_err(|refusal| illegal(&refusal))?;
    // A template that does not let content be republished any more counts at once.
    if !allows_editing(&opened.rights) || !allows_editing(&policy) {
        return Err(illegal(&"the license does not let servers edit it"));
    }
    let person = Person {
        identity,
        // Not to open the content: the key stays with the server.
        key: context.cluster.server()?.key.public(),
        sid_counts: true,
    };
    let grant = decide(context, opened, &policy, person).await;
    let grant = grant.map_err(|refusal| match refusal.code {
        FaultCode::NoRightsForRequestedPrincipal => illegal(&refusal),
        _ => refusal,
    })?;
    if grant.may_edit_rights() {
        Ok(grant)
    } else {
        Err(illegal(&"the caller may not change the rights"))
    }
}

fn allows_editing(rights: &RightsData) -> bool {
    rights.app_data().any(|data| {
        data.name.as_deref() == Some(ALLOW_SERVER_EDITING)
            && data.value.trim().eq_ignore_ascii_case("true")
    })
}

/// The new license must be for the same content. So must its rights data, unless they are a
/// template's: else another content's could be read by putting them in here.
fn check_same_content<'l>(
    opened: &'l OpenedLicense,
    unsigned: &Unsigned,
) -> Result<&'l str, Refusal> {
    let content = opened.license.content_id().unwrap_or_default();
    let same = |id: &str| id.trim().eq_ignore_ascii_case(content.trim());
    let of_rights = unsigned
        .rights
        .node()
        .content()
        .work
        .as_ref()
        .and_then(|work| work.object.as_ref())
        .is_some_and(|object| same(&object.id));
    if same(unsigned.license.content_id().unwrap_or_default())
        && (of_rights || unsigned.rights.is_official())
    {
        return Ok(content);
    }
    let reason = "the new license is for another content";
    Err(Refusal::new(FaultCode::ServerRepublishIllegal, reason))
}

/// Nobody becomes the author by republishing: the new license must name the same one, and only a
/// proven author may be named in its rights data, where a name is a proof.
fn check_same_author(opened: &OpenedLicense, unsigned: &Unsigned) -> Result<(), Refusal> {
    let name = |object: Option<&Object>| object.and_then(|o| o.name.clone());
    let (author, proven) = match &opened.author {
        Author::Proven(author) => (author.as_str(), true),
        Author::Claimed(author) => (author.as_str(), false),
        Author::Unknown => ("", false),
    };
    let same = |name: &str| name.trim().eq_ignore_ascii_case(author.trim());
    let in_clear = name(unsigned.license.owner()).unwrap_or_default();
    let in_rights = name(unsigned.rights.owner());
    if same(&in_clear) && in_rights.is_none_or(|name| proven && same(&name)) {
        return Ok(());
    }
    let reason = "the new license names another author";
    Err(Refusal::new(FaultCode::ServerRepublishIllegal, reason))
}

fn proven_author(opened: &OpenedLicense) -> Option<(&str, openrms_xrml::Time)> {
    match &opened.author {
        Author::Proven(author) => Some((author, opened.published)),
        Author::Claimed(_) | Author::Unknown => None,
    }
}

/// Application data by which a license opts in (MS-RMSI 3.4.4.1).
const ALLOW_SERVER_EDITING: &str = "Allow_Server_Editing";
