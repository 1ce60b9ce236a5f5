//! Handing out official templates (MS-RMPR 3.4.4.2, 3.4.4.3).

use openrms_protocol::templates::{
    AcquireTemplateInformationResponse, AcquireTemplates, AcquireTemplatesResponse, GuidHash,
    GuidTemplate,
};
use openrms_xrml::Guid;
use openrms_xrml::values::encode_base64;

use crate::cluster::Template;
use crate::context::{Context, check_in_service};
use crate::refusal::Refusal;

/// Which templates there are.
pub fn acquire_template_information(
    context: &Context<'_>,
) -> Result<AcquireTemplateInformationResponse, Refusal> {
    check_in_service(context)?;
    let cluster = context.cluster;
    let mut templates: Vec<GuidHash> = cluster
        .templates()
        .filter(|(_, template)| template.published)
        .map(|(id, template)| GuidHash {
            guid: id.to_string(),
            hash: hash_of(template),
        })
        .collect();
    templates.sort_by(|a, b| a.guid.cmp(&b.guid));
    Ok(AcquireTemplateInformationResponse {
        server_public_key: cluster.server()?.slc.key().to_pkcs1_der(),
        templates,
    })
}

/// Templates by GUID; one that is not published comes back without text.
pub fn acquire_templates(
    context: &Context<'_>,
    request: &AcquireTemplates,
) -> Result<AcquireTemplatesResponse, Refusal> {
    check_in_service(context)?;
    let templates = request.guids.iter().map(|asked| {
        let id = asked.parse::<Guid>().ok();
        let found = id
            .and_then(|id| context.cluster.template(id))
            .filter(|t| t.published);
        GuidTemplate {
            guid: asked.clone(),
            hash: found.map(hash_of),
            template: found.map(|template| template.text.to_string()),
        }
    });
    Ok(AcquireTemplatesResponse {
        templates: templates.collect(),
    })
}

/// The VALUE of DIGEST in the template's SIGNATURE.
fn hash_of(template: &Template) -> String {
    let signature = template.rights.node().signature();
    signature
        .map(|s| encode_base64(s.digest.as_bytes()))
        .unwrap_or_default()
}
