//! How is said over HTTP what the broker refuses?
//!
//! RabbitMQ's API does some things itself and others as a client of AMQP, whose errors it passes on
//! as they are. Imports `response`.

use super::response::Response;
use crate::amqp::{AmqpError, ReplyCode};

/// For a declaration, a deletion, a purge or a binding.
pub fn of_change(error: &AmqpError) -> Response {
    if error.code == ReplyCode::AccessRefused {
        Response::not_authorised("Access refused.")
    } else if error.code == ReplyCode::NotFound {
        Response::error(404, "not_found", sentence(error))
    } else {
        Response::bad_request(sentence(error))
    }
}

/// For a publish.
pub fn of_publish(error: &AmqpError) -> Response {
    Response::bad_request(&error.to_string())
}

/// For a get, and for a look at where a message would go.
pub fn of_get(error: &AmqpError) -> Response {
    if error.code == ReplyCode::AccessRefused {
        Response::not_authorised(&error.text)
    } else if error.code == ReplyCode::NotFound {
        Response::error(404, "not_found", &error.text)
    } else if error.code == ReplyCode::NotImplemented {
        Response::bad_request(&format!("540 {}", sentence(error)))
    } else {
        Response::bad_request(&error.to_string())
    }
}

/// The text without the name of its code.
fn sentence(error: &AmqpError) -> &str {
    error.text.split_once(" - ").map_or(&error.text, |(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_request_says_it_in_its_own_way() {
        let error = |code| AmqpError::channel(code, "no queue 'q' - really");
        let said =
            |response: Response| (response.status, String::from_utf8(response.body).unwrap());
        let not_found = error(ReplyCode::NotFound);
        let (status, text) = said(of_change(&not_found));
        assert_eq!((status, text.contains(r#""no queue 'q' - really""#)), (404, true), "{text}");
        let (status, text) = said(of_get(&not_found));
        assert_eq!((status, text.contains("NOT_FOUND - no queue")), (404, true), "{text}");
        let (status, text) = said(of_publish(&not_found));
        assert_eq!((status, text.contains("404 NOT_FOUND - no queue")), (400, true), "{text}");
        assert_eq!(said(of_change(&error(ReplyCode::AccessRefused))).0, 401);
        assert_eq!(said(of_publish(&error(ReplyCode::AccessRefused))).0, 400);
        let (_, text) = said(of_get(&error(ReplyCode::NotImplemented)));
        assert!(text.contains("540 no queue"), "{text}");
    }
}
