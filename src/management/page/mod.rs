//! The page that people look at: which files is it made of, and how are they served?
//!
//! Files that stand in `files/` as they are: no step makes them. They ask for nothing but the API,
//! so that there is nothing here that cannot be scripted, and no rights are checked for them. The
//! page's own rules for browsers let it load nothing from elsewhere and run nothing in a line.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::call::{Call, Outcome, Right, Route};
use super::request::Method;
use super::response::Response;

/// What is at the root: the page, wherever in it somebody wants to go. Old addresses such as
/// `/#/queues` lead there, too, since the part behind `#` is the page's.
pub const ROOT: &[Route] =
    &[Route { path: "", methods: &[(Method::Get, Right::Anyone, show_index)] }];

/// The files beside it.
pub const FILES: &[Route] =
    &[Route { path: "*", methods: &[(Method::Get, Right::Anyone, show_file)] }];

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("files/", $name)),
        }
    };
}

const INDEX: &str = "index.html";

/// All of them.
const ALL: &[File] = &[
    file!("admin.js", JAVASCRIPT),
    file!("api.js", JAVASCRIPT),
    file!("channel-columns.js", JAVASCRIPT),
    file!("chart.js", JAVASCRIPT),
    file!("connection-close.js", JAVASCRIPT),
    file!("dialog.js", JAVASCRIPT),
    file!("element.js", JAVASCRIPT),
    file!("exchange-bindings.js", JAVASCRIPT),
    file!("exchange-declare.js", JAVASCRIPT),
    file!("exchange-delete.js", JAVASCRIPT),
    file!("exchange-preview.js", JAVASCRIPT),
    file!("figure-charts.js", JAVASCRIPT),
    file!("findings.js", JAVASCRIPT),
    file!("form.js", JAVASCRIPT),
    file!("format.js", JAVASCRIPT),
    file!("graph.js", JAVASCRIPT),
    file!("history.js", JAVASCRIPT),
    file!("icon.svg", SVG),
    file!("index.html", HTML),
    file!("main.js", JAVASCRIPT),
    file!("message.js", JAVASCRIPT),
    file!("notice.js", JAVASCRIPT),
    file!("page.css", CSS),
    file!("parts.js", JAVASCRIPT),
    file!("policy-form.js", JAVASCRIPT),
    file!("publish.js", JAVASCRIPT),
    file!("queue-consumers.js", JAVASCRIPT),
    file!("queue-declare.js", JAVASCRIPT),
    file!("queue-diagnosis.js", JAVASCRIPT),
    file!("queue-messages.js", JAVASCRIPT),
    file!("queue-settings.js", JAVASCRIPT),
    file!("queue-states.js", JAVASCRIPT),
    file!("router.js", JAVASCRIPT),
    file!("session.js", JAVASCRIPT),
    file!("settings.js", JAVASCRIPT),
    file!("shell.js", JAVASCRIPT),
    file!("spark.js", JAVASCRIPT),
    file!("table.js", JAVASCRIPT),
    file!("ticks.js", JAVASCRIPT),
    file!("user-forms.js", JAVASCRIPT),
    file!("vhost-forms.js", JAVASCRIPT),
    file!("view-channel.js", JAVASCRIPT),
    file!("view-channels.js", JAVASCRIPT),
    file!("view-connection.js", JAVASCRIPT),
    file!("view-connections.js", JAVASCRIPT),
    file!("view-definitions.js", JAVASCRIPT),
    file!("view-exchange.js", JAVASCRIPT),
    file!("view-exchanges.js", JAVASCRIPT),
    file!("view-login.js", JAVASCRIPT),
    file!("view-node.js", JAVASCRIPT),
    file!("view-overview.js", JAVASCRIPT),
    file!("view-parameters.js", JAVASCRIPT),
    file!("view-permissions.js", JAVASCRIPT),
    file!("view-policies.js", JAVASCRIPT),
    file!("view-queue.js", JAVASCRIPT),
    file!("view-queues.js", JAVASCRIPT),
    file!("view-user.js", JAVASCRIPT),
    file!("view-users.js", JAVASCRIPT),
    file!("view-vhost.js", JAVASCRIPT),
    file!("view-vhosts.js", JAVASCRIPT),
    file!("views.js", JAVASCRIPT),
];

/// What a browser may do for the page: load scripts, styles and pictures from here, ask the API,
/// and nothing else; and no other page shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// What says whether a browser has this version of a file, for each of them in turn.
static TAGS: OnceLock<Vec<String>> = OnceLock::new();

impl File {
    fn tag(&self) -> String {
        let digest = Sha256::digest(self.bytes);
        let text: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{text}\"")
    }

    /// The file, or that the client has it.
    fn show(&self, tag: &str, has: Option<&[u8]>) -> Response {
        let is_known = has.is_some_and(|has| {
            let mut known = has.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            // Compared weakly: whoever compresses on the way marks it so (RFC 9110 section 13.1.2).
            known.any(|one| one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes())
        });
        let response = match is_known {
            true => Response::empty(304),
            false => Response { body: self.bytes.to_vec(), ..Response::empty(200) }
                .header("content-type", self.content_type),
        };
        response
            .header("etag", tag)
            .header("content-security-policy", POLICY)
            .header("x-content-type-options", "nosniff")
            .header("x-frame-options", "DENY")
            .header("referrer-policy", "no-referrer")
            .header("cross-origin-opener-policy", "same-origin")
            .header("cross-origin-resource-policy", "same-origin")
    }
}

fn show_index(call: &mut Call<'_, '_>) -> Outcome {
    show(call, INDEX.as_bytes())
}

fn show_file(call: &mut Call<'_, '_>) -> Outcome {
    show(call, call.part(0))
}

fn show(call: &Call<'_, '_>, name: &[u8]) -> Outcome {
    let tags = TAGS.get_or_init(|| ALL.iter().map(File::tag).collect());
    let found = ALL.iter().zip(tags).find(|(file, _)| file.name.as_bytes() == name);
    let (file, tag) = found.ok_or_else(Response::not_found)?;
    Ok(file.show(tag, call.request.header("if-none-match")).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_that_is_there_is_served_and_once() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/management/page/files");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: Vec<String> = ALL.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served.iter().cloned().collect::<BTreeSet<_>>(), there);
        assert_eq!(served.len(), there.len());
    }

    /// Of which a browser would not let any run.
    #[test]
    fn no_file_has_a_script_or_a_style_in_a_line_or_asks_another_host() {
        for file in ALL {
            let text = std::str::from_utf8(file.bytes).unwrap();
            let forbidden: &[&str] = match file.content_type {
                HTML => &[" style=", " onclick=", "<style", "<script>", "http:", "https:"],
                JAVASCRIPT => &[
                    "innerHTML",
                    "outerHTML",
                    "insertAdjacentHTML",
                    "eval(",
                    "document.write",
                    "https:",
                ],
                _ => &["https:", "@import"],
            };
            for word in forbidden {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
        }
    }
}
