//! Which certificates are shown to whom, and when are they read again?
//!
//! Files are looked at every few seconds, which is one `stat` each, and read when one changed or
//! somebody wants it. What is broken or out of date then changes nothing: who connects gets the
//! certificates that were good.

use std::time::{Duration, Instant};

use log::{error, info, warn};

use crate::management::{CertificateSight, TlsOptions};
use crate::tls::{LoadError, Options, Shown, Site};

use super::event_loop::EventLoop;

/// How often it is asked whether files changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long before its end a certificate is worth a warning at start.
const SOON_MS: i64 = 14 * 24 * 3600 * 1000;

/// The sites, by the number that listeners know them by.
#[derive(Debug, Default)]
pub(super) struct Sites {
    list: Vec<Site>,
    look_at: Option<Instant>,
}

impl Sites {
    /// The site of this number.
    pub(super) fn at(&self, index: usize) -> Option<&Site> {
        self.list.get(index)
    }

    /// When files are looked at again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }
}

impl EventLoop {
    /// Certificates for listeners to show; the number that [`EventLoop::listen`] wants.
    pub fn add_site(&mut self, site: Site) -> usize {
        let now_ms = self.unix_ms();
        if let Some(problem) = site.out_of_date(now_ms) {
            error!("{problem}");
        }
        for Shown { file, certificate } in site.shown() {
            let left_ms = certificate.not_after_ms - now_ms;
            if (0..SOON_MS).contains(&left_ms) {
                let (file, days) = (file.display(), left_ms / 86_400_000);
                warn!("the certificate file {file} expires in {days} days; renew it");
            }
        }
        let sites = &mut self.sites;
        sites.list.push(site);
        sites.look_at.get_or_insert(self.clock.now() + LOOK_EVERY);
        self.tell_of_certificates();
        self.sites.list.len() - 1
    }

    /// Reads the certificates again, with these settings where there are some for a site.
    pub(super) fn read_certificates(&mut self, options: &[TlsOptions]) {
        for index in 0..self.sites.list.len() {
            let site = &mut self.sites.list[index];
            // What changes while it is read is seen later.
            site.has_changed();
            let (name, held) = (site.name(), site.options().clone());
            let wanted = options.iter().find(|(of, _)| *of == name).map(|(_, options)| options);
            self.replace(index, wanted.unwrap_or(&held));
        }
        self.tell_of_certificates();
    }

    /// Reads those again whose files changed.
    pub(super) fn look_at_certificates(&mut self) {
        let now = self.clock.now();
        if self.sites.look_at.is_none_or(|at| now < at) {
            return;
        }
        self.sites.look_at = Some(now + LOOK_EVERY);
        let mut changed = false;
        for index in 0..self.sites.list.len() {
            let site = &mut self.sites.list[index];
            if site.has_changed() {
                let options = site.options().clone();
                self.replace(index, &options);
                changed = true;
            }
        }
        if changed {
            self.tell_of_certificates();
        }
    }

    /// Puts a site that is read anew in the place of one that holds, if it is good.
    fn replace(&mut self, index: usize, options: &Options) {
        let now_ms = self.unix_ms();
        let held = &self.sites.list[index];
        let name = held.name();
        let read = Site::load(name, options).and_then(|new| match new.out_of_date(now_ms) {
            Some(problem) if held.out_of_date(now_ms).is_none() => Err(problem),
            Some(_) | None => Ok(new),
        });
        match read {
            Ok(new) => {
                for Shown { file, certificate } in new.shown() {
                    info!(
                        "{name}: the certificate in {} was read, for {}, valid {}; new connections \
                         get it",
                        file.display(),
                        certificate.subject,
                        certificate.validity
                    );
                }
                self.sites.list[index] = new;
            }
            Err(problem) => error!("{name}: {problem}; the certificates stay as they were"),
        }
    }

    /// Lets operators see which certificates there are.
    fn tell_of_certificates(&mut self) {
        let mut sights = Vec::new();
        for site in &self.sites.list {
            for Shown { file, certificate } in site.shown() {
                let file = file.display().to_string();
                let certificate = certificate.clone();
                let authorities_file = site.options().cacertfile.as_ref();
                sights.push(CertificateSight {
                    site: site.name(),
                    file,
                    certificate,
                    authorities_file: authorities_file
                        .map(|path| path.display().to_string())
                        .unwrap_or_default(),
                    authorities: site.authorities().to_vec(),
                    verifies_peers: site.verifies_peers(),
                });
            }
        }
        self.node.note_certificates(sights);
    }

    fn unix_ms(&self) -> i64 {
        i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX)
    }
}

/// Says what is wrong with the certificates at this time, in ms since 1970, if something is.
///
/// # Errors
/// That.
pub fn check(name: &'static str, options: &Options, now_ms: u64) -> Result<(), LoadError> {
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    Site::load(name, options)?.out_of_date(now_ms).map_or(Ok(()), Err)
}
