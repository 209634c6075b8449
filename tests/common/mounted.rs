//! How does a test get a file system of its own? It mounts one, which takes root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program; the error is what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or(format!("{shown}: {}", said.trim()))
}

/// A path as an argument of [`run`].
pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have simple names")
}

/// A file system that is mounted as long as this value lives.
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// The one in this file.
    pub fn new(image: &Path, at: &Path) -> Result<Mounted, String> {
        Mounted::with_options(image, "loop", at)
    }

    /// The same with other options than `loop` alone.
    pub fn with_options(image: &Path, options: &str, at: &Path) -> Result<Mounted, String> {
        Mounted::mount(&["-o", options, path_text(image)], at)
    }

    /// A new one in this file, made by the program `kind[0]`.
    pub fn make(kind: &[&str], image: &Path, bytes: u64, at: &Path) -> Result<Mounted, String> {
        let file = File::create(image).and_then(|file| file.set_len(bytes));
        file.map_err(|error| format!("{}: {error}", image.display()))?;
        let arguments = [&kind[1..], &[path_text(image)]].concat();
        run(kind[0], &arguments)?;
        Mounted::new(image, at)
    }

    /// A new one in memory, with room for so many bytes.
    pub fn in_memory(bytes: u64, at: &Path) -> Result<Mounted, String> {
        let size = format!("size={bytes}");
        Mounted::mount(&["-t", "tmpfs", "-o", &size, "none"], at)
    }

    fn mount(what: &[&str], at: &Path) -> Result<Mounted, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
        run("mount", &[what, &[path_text(at)]].concat())?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily if need be: a test that failed may have left something open.
        if let Err(error) = run("umount", &[path_text(&self.0)]) {
            eprintln!("{error}");
            drop(run("umount", &["--lazy", path_text(&self.0)]));
        }
    }
}
