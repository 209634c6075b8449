//! Who are the users, with which passwords and tags?

use serde_json::{Value, json};

use super::Wrong;
use super::fields::{self, Fields};
use super::limits;
use crate::amqp::Name;
use crate::broker::users::password::{HashAlgorithm, PasswordHash};
use crate::broker::{Broker, User};
use crate::management::json;

/// All tags of a user together have at most so many bytes: a user is one record of the log.
const TAG_BYTES_MAX: usize = 4096;

/// Makes a user or gives one another password and tags; permissions stay, and limits of which
/// nothing is said. `true` when there was none of the name.
///
/// # Errors
/// What is wrong with the fields.
pub fn put(broker: &mut Broker, name: Name, body: &Fields) -> Result<bool, Wrong> {
    let found = broker.users().find(&name).cloned();
    let user = changed(found, name, body)?;
    store(broker, user)
}

/// A user, new or as it was found, with what a body says of it.
///
/// # Errors
/// What is wrong with the fields.
pub fn changed(found: Option<User>, name: Name, body: &Fields) -> Result<User, Wrong> {
    if name.is_empty() {
        return Err("a user has to have a name".to_owned());
    }
    let tags = body.get("tags").ok_or_else(|| "tags_not_present".to_owned())?;
    let tags = fields::words("tags", tags)?;
    if tags.iter().map(String::len).sum::<usize>() > TAG_BYTES_MAX {
        return Err(format!("tags have at most {TAG_BYTES_MAX} bytes together"));
    }
    let password = password(body)?;
    let mut user = found.unwrap_or_else(|| User::new(name, None, Vec::new()));
    if let Some(limits) = body.get("limits") {
        limits::change_user(&mut user, limits)?;
    }
    user.password = password;
    user.tags = tags;
    Ok(user)
}

/// Stores a user, new or changed; `true` when there was none of that name.
///
/// # Errors
/// With its permissions it is too long for one record of the log.
pub fn store(broker: &mut Broker, user: User) -> Result<bool, Wrong> {
    check_length(broker, &user)?;
    Ok(broker.put_user(user))
}

/// Whether a user fits into one record of the log.
///
/// # Errors
/// As for [`store`].
pub fn check_length(broker: &mut Broker, user: &User) -> Result<(), Wrong> {
    let (bytes, most) = (user.encode().table().as_bytes().len(), broker.definition_bytes_max());
    if bytes > most {
        return Err(format!("a user with all of its permissions has at most {most} bytes"));
    }
    broker.work.spend_bytes(4 * bytes as u64);
    Ok(())
}

/// The hash that a body asks for. Without a password, or with an empty hash, nobody logs in.
fn password(body: &Fields) -> Result<Option<PasswordHash>, Wrong> {
    match (body.get("password"), body.get("password_hash")) {
        (Some(_), Some(_)) => Err("both_password_and_password_hash_are_provided".to_owned()),
        (Some(_), None) => {
            let password = fields::text(body, "password")?;
            PasswordHash::create(password.as_bytes()).map(Some).map_err(|error| error.to_string())
        }
        (None, Some(_)) => {
            let hash = fields::text(body, "password_hash")?;
            let algorithm = match fields::optional_text(body, "hashing_algorithm")? {
                Some(name) => HashAlgorithm::parse(name).map_err(|error| error.to_string())?,
                None => HashAlgorithm::Sha256,
            };
            let make = || PasswordHash::from_base64(algorithm, hash);
            let made = (!hash.is_empty()).then(make).transpose();
            made.map_err(|error| error.to_string())
        }
        (None, None) => Ok(None),
    }
}

/// What is shown of a user.
pub fn show(user: &User) -> Value {
    let password = user.password.as_ref();
    let algorithm = password.map_or(HashAlgorithm::Sha256, PasswordHash::algorithm);
    json!({
        "name": json::text(&user.name),
        "password_hash": password.map(PasswordHash::to_base64).unwrap_or_default(),
        "hashing_algorithm": algorithm.name(),
        "tags": user.tags,
        "limits": limits::show_user(user),
    })
}
