//! Which files of definitions are taken in at the start (`load_definitions`)?
//!
//! One that is taken in leaves its hash behind, under RabbitMQ's name for it, so that it can be
//! passed over at the next start (`definitions.skip_if_unchanged`).

use std::fs;
use std::path::{Path, PathBuf};

use log::info;
use sha2::{Digest, Sha256};

use super::config::Config;
use super::error::StartError;
use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::topology::parameters::Scope;
use crate::management;

/// Under which of the node's parameters the hash of what was taken in last is.
const HASH: &[u8] = b"imported_definition_hash_value";

/// Takes in what the configuration names.
///
/// # Errors
/// A file cannot be read, or something in it is refused; what was not refused is there.
pub(super) fn load(broker: &mut Broker, config: &Config) -> Result<(), StartError> {
    let Some(path) = &config.load_definitions else {
        return Ok(());
    };
    let files = read(path)?;
    let hash = hash_of(&files);
    let before = broker.topology().parameter(Scope::Global, HASH);
    if config.skip_unchanged_definitions && before == Some(hash.as_str()) {
        info!("the definitions in {} are those of the last start", path.display());
        return Ok(());
    }
    for (path, text) in files {
        info!("taking in the definitions in {}", path.display());
        management::load_definitions(broker, text)
            .map_err(|problem| StartError::Definitions { path, problem })?;
    }
    broker.set_parameter(Scope::Global, Name::from(HASH), &hash);
    broker.store.sync_now().map_err(|error| StartError::Storage(error.to_string()))
}

/// The file, or those of a directory that end in `.json`, in the order of their names.
fn read(path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, StartError> {
    let failed = |path: &Path| {
        let doing = format!("read the definitions in {}", path.display());
        move |error| StartError::io(doing, error)
    };
    let mut paths = vec![path.to_owned()];
    if fs::metadata(path).map_err(failed(path))?.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        paths = entries.map_err(failed(path))?.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "json") && path.is_file());
        paths.sort();
    }
    let text = |path: PathBuf| {
        let text = fs::read(&path).map_err(failed(&path))?;
        Ok((path, text))
    };
    paths.into_iter().map(text).collect()
}

/// The hash of all files together, as JSON.
fn hash_of(files: &[(PathBuf, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    files.iter().for_each(|(_, text)| hash.update(text));
    let digits: Vec<String> = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{}\"", digits.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_directory_come_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", "c.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("d.json")).unwrap();
        let texts = |path: &Path| {
            let files = read(path).unwrap().into_iter();
            files.map(|(_, text)| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(texts(directory.path()), ["a.json", "b.json"]);
        assert_eq!(texts(&directory.path().join("c.txt")), ["c.txt"]);
        assert!(read(&directory.path().join("nope")).is_err());
    }
}
