//! How does a test get a file system of its own? It mounts one, which takes root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

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

/// What a test needs of the machine; where it does not have that, the test is left out, and says
/// so.
pub fn or_left_out<T>(made: Result<T, String>) -> Option<T> {
    made.map_err(|missing| eprintln!("left out: {missing}")).ok()
}

/// A file system that is mounted as long as this value lives. An error says what the machine does
/// not have.
pub struct Mounted {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The directory where all of it lies, if that is its own; it goes last.
    _home: Option<TempDir>,
}

impl Mounted {
    /// A new one in memory, with room for so many bytes.
    pub fn in_memory(bytes: u64) -> Result<Mounted, String> {
        let (home, at) = new_home();
        let size = format!("size={bytes}");
        let mounted = Mounted::mount(&["-t", "tmpfs", "-o", &size, "none"], &at)?;
        Ok(mounted.owning(home))
    }

    /// A new one on a device of its own, with room for so many bytes.
    pub fn ext4(bytes: u64) -> Result<Mounted, String> {
        let (home, at) = new_home();
        let image = home.path().join("image");
        let mounted = Mounted::make(&["mkfs.ext4", "-q", "-F"], &image, bytes, &at)?;
        Ok(mounted.owning(home))
    }

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

    fn owning(mut self, home: TempDir) -> Mounted {
        self._home = Some(home);
        self
    }

    fn mount(what: &[&str], at: &Path) -> Result<Mounted, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
        run("mount", &[what, &[path_text(at)]].concat())?;
        Ok(Mounted { path: at.to_owned(), _home: None })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily if need be: a test that failed may have left something open.
        if let Err(error) = run("umount", &[path_text(&self.path)]) {
            eprintln!("{error}");
            drop(run("umount", &["--lazy", path_text(&self.path)]));
        }
    }
}

fn new_home() -> (TempDir, PathBuf) {
    let home = TempDir::new().expect("a temporary directory can be made");
    let at = home.path().join("disk");
    (home, at)
}
