//! Every writing call that a broker without plugins and peers can do, and what stands there after
//! it. All of it happens in a vhost and with a user of its own, which are gone at the end.

use rabbitmq_http_client::commons::{
    BindingDestinationType, ExchangeType, PolicyTarget, QueueType, UserLimitTarget,
    VirtualHostLimitTarget,
};
use rabbitmq_http_client::password_hashing;
use rabbitmq_http_client::requests::{
    BindingDeletionParams, EnforcedLimitParams, ExchangeParams, GlobalRuntimeParameterDefinition,
    Permissions, PolicyDefinitionBuilder, PolicyParams, QueueParams, RuntimeParameterDefinition,
    StreamParams, TopicPermissions, UserParams, VirtualHostParams, XArgumentsBuilder,
};
use serde_json::{Map, Value, json};

use crate::report::Report;
use crate::{Api, Place};

/// Calls `client.method(arguments)` and has its answer checked under its own name.
macro_rules! call {
    ($report:ident, $client:ident . $($call:tt)*) => {
        $report.call(stringify!($($call)*), $client.$($call)*)
    };
}

/// The vhost.
const V: &str = "written";

/// All of them.
pub fn all(client: &Api, place: &Place, report: &mut Report) {
    vhost(client, report);
    users(client, place, report);
    permissions(client, report);
    queues(client, report);
    exchanges(client, report);
    bindings(client, report);
    messages(client, report);
    policies(client, report);
    operator_policies(client, report);
    parameters(client, report);
    limits(client, report);
    definitions(client, report);
    connections(client, report);
    node(client, report);
    end(client, report);
}

fn vhost(client: &Api, report: &mut Report) {
    let described = VirtualHostParams::builder(V)
        .description("made by a client")
        .tags(vec!["one", "two"])
        .default_queue_type(QueueType::Quorum)
        .build();
    call!(report, client.create_vhost(&described));
    if let Some(vhost) = call!(report, client.get_vhost(V)) {
        report.holds(
            "create_vhost",
            "kept",
            vhost.description.as_deref() == Some("made by a client"),
        );
        report.holds(
            "create_vhost",
            "its type",
            vhost.default_queue_type.as_deref() == Some("quorum"),
        );
    }
    let changed = VirtualHostParams::builder(V).description("changed").build();
    call!(report, client.update_vhost(&changed));
    let description = client.get_vhost(V).ok().and_then(|vhost| vhost.description);
    report.holds("update_vhost", "the new description", description.as_deref() == Some("changed"));
    call!(report, client.enable_vhost_deletion_protection(V));
    report.refused("delete_vhost of a protected one", client.delete_vhost(V, false));
    call!(report, client.disable_vhost_deletion_protection(V));
    call!(report, client.grant_full_permissions("guest", V));
}

fn users(client: &Api, place: &Place, report: &mut Report) {
    let salt = password_hashing::salt();
    let hash = password_hashing::base64_encoded_salted_password_hash_sha256(&salt, "secret");
    call!(report, client.create_user(&UserParams::new("writer", &hash, "management,policymaker")));
    for name in ["bulk-a", "bulk-b", "single"] {
        report.call("create_user", client.create_user(&UserParams::without_tags(name, &hash)));
    }
    let tags = client.get_user("writer").map(|user| user.tags.0.clone()).unwrap_or_default();
    report.holds("create_user", "its tags", tags == ["management", "policymaker"]);
    let theirs = rabbitmq_http_client::blocking_api::Client::new(&place.api, "writer", "secret");
    report.call("current_user() of the new one", theirs.current_user());
    call!(report, client.delete_users(vec!["bulk-a", "bulk-b"]));
    call!(report, client.delete_user("single", false));
    call!(report, client.delete_user("single", true));
    report.refused("delete_user that is not there", client.delete_user("single", false));
}

fn permissions(client: &Api, report: &mut Report) {
    let given = Permissions { user: "writer", vhost: V, configure: "^c", read: ".*", write: "^w" };
    call!(report, client.declare_permissions(&given));
    if let Some(found) = call!(report, client.get_permissions(V, "writer")) {
        let same = found.configure == "^c" && found.read == ".*" && found.write == "^w";
        report.holds("declare_permissions", "as given", same);
    }
    call!(report, client.grant_permissions(&Permissions::full_access("writer", V)));
    call!(report, client.clear_permissions(V, "writer", false));
    call!(report, client.clear_permissions(V, "writer", true));
    let topics = TopicPermissions {
        user: "writer",
        vhost: V,
        write: "^w",
        read: "^r",
        exchange: "amq.topic",
    };
    call!(report, client.declare_topic_permissions(&topics));
    call!(report, client.get_topic_permissions_of(V, "writer"));
    call!(report, client.clear_topic_permissions(V, "writer", false));
    call!(report, client.clear_topic_permissions(V, "writer", true));
    call!(report, client.grant_full_permissions("writer", V));
}

fn queues(client: &Api, report: &mut Report) {
    let arguments = XArgumentsBuilder::new()
        .message_ttl(60_000)
        .queue_ttl(600_000)
        .max_length(100)
        .max_length_bytes(1_000_000)
        .dead_letter_exchange("amq.fanout")
        .dead_letter_routing_key("dead")
        .overflow_reject_publish()
        .max_priority(5)
        .single_active_consumer(true)
        .build();
    let classic = QueueParams::new_durable_classic_queue("classic", arguments);
    call!(report, client.declare_queue(V, &classic));
    call!(report, client.declare_queue(V, &classic));
    let other = QueueParams::new_durable_classic_queue("classic", None);
    report.refused("declare_queue with other arguments", client.declare_queue(V, &other));
    call!(report, client.declare_queue(V, &QueueParams::new_quorum_queue("quorum", None)));
    call!(report, client.declare_queue(V, &QueueParams::new_transient_autodelete("brief", None)));
    call!(report, client.declare_classic_queue(V, "plain"));
    call!(report, client.declare_quorum_queue(V, "quorum2"));
    let stream = StreamParams::with_expiration_and_length_limit("stream", "24h", 10_000_000)
        .with_max_segment_length_bytes(1_000_000);
    call!(report, client.declare_stream(V, &stream));
    if let Some(found) = call!(report, client.get_queue_info(V, "classic")) {
        report.holds("declare_queue", "durable", found.durable && !found.auto_delete);
        report.holds("declare_queue", "all arguments", found.arguments.0.len() >= 9);
    }
    call!(report, client.purge_queue(V, "plain"));
    call!(report, client.delete_queues(V, &["quorum2", "brief"], false));
    call!(report, client.delete_queue(V, "quorum2", true));
    report.refused("delete_queue that is not there", client.delete_queue(V, "quorum2", false));
    call!(report, client.delete_stream(V, "stream", false));
}

fn exchanges(client: &Api, report: &mut Report) {
    let alternate = Some(Map::from_iter([("alternate-exchange".to_owned(), json!("fanout"))]));
    call!(report, client.declare_exchange(V, &ExchangeParams::durable_fanout("fanout", None)));
    call!(report, client.declare_exchange(V, &ExchangeParams::durable_topic("topic", alternate)));
    call!(report, client.declare_exchange(V, &ExchangeParams::direct("direct", false, true, None)));
    call!(report, client.declare_exchange(V, &ExchangeParams::durable_headers("headers", None)));
    let params = ExchangeParams::durable("topic", ExchangeType::Direct, None);
    report.refused("declare_exchange of another type", client.declare_exchange(V, &params));
    if let Some(found) = call!(report, client.get_exchange_info(V, "topic")) {
        report.holds("declare_exchange", "its alternate", found.arguments.0.len() == 1);
    }
    call!(report, client.delete_exchanges(V, &["direct", "headers"], false));
    call!(report, client.delete_exchange(V, "direct", true));
    report.refused("delete_exchange that is not there", client.delete_exchange(V, "direct", false));
}

fn bindings(client: &Api, report: &mut Report) {
    call!(report, client.bind_queue(V, "plain", "topic", Some("a.#"), None));
    call!(report, client.bind_exchange(V, "fanout", "topic", Some("*.b"), None));
    let arguments =
        Map::from_iter([("x-match".to_owned(), json!("all")), ("n".to_owned(), json!(1))]);
    call!(report, client.bind_queue(V, "plain", "amq.headers", None, Some(arguments)));
    let found = call!(report, client.list_queue_bindings(V, "plain")).unwrap_or_default();
    report.holds("bind_queue", "both and the default one", found.len() == 3);
    for binding in found.iter().filter(|binding| !binding.source.is_empty()) {
        let params = BindingDeletionParams::from_binding_info(binding);
        report.call("delete_binding", client.delete_binding(&params, false));
        report.call("recreate_binding", client.recreate_binding(binding));
    }
    let params = BindingDeletionParams {
        virtual_host: V,
        source: "topic",
        destination: "fanout",
        destination_type: BindingDestinationType::Exchange,
        routing_key: "*.b",
        arguments: None,
    };
    call!(report, client.delete_binding(&params, false));
    call!(report, client.delete_binding(&params, true));
    report.refused("delete_binding that is not there", client.delete_binding(&params, false));
}

fn messages(client: &Api, report: &mut Report) {
    let properties = Map::from_iter([
        ("delivery_mode".to_owned(), json!(2)),
        ("content_type".to_owned(), json!("text/plain")),
        ("timestamp".to_owned(), json!(1_700_000_000)),
        ("headers".to_owned(), json!({"n": 1, "list": [true, "x"], "table": {"y": 1.5}})),
    ]);
    let body = "a body";
    let sent = call!(report, client.publish_message(V, "topic", "a.b", body, properties));
    report.holds("publish_message", "is routed", sent.is_some_and(|sent| sent.routed));
    let lost = call!(report, client.publish_message(V, "amq.direct", "no", body, Map::new()));
    report.holds("publish_message", "is not routed", lost.is_some_and(|lost| !lost.routed));
    let got = call!(report, client.get_messages(V, "plain", 5, "ack_requeue_true"));
    let got = got.unwrap_or_default();
    report.holds("get_messages", "the one", got.len() == 1 && got[0].payload == body);
    let again = call!(report, client.get_messages(V, "plain", 5, "ack_requeue_false"));
    let again = again.unwrap_or_default();
    report.holds("get_messages", "once more", again.len() == 1 && again[0].redelivered);
    let none = client.get_messages(V, "plain", 5, "ack_requeue_false");
    report.holds("get_messages", "then no more", none.is_ok_and(|none| none.is_empty()));
}

fn policies(client: &Api, report: &mut Report) {
    let definition = PolicyDefinitionBuilder::new()
        .message_ttl(90_000)
        .max_length(1000)
        .overflow_drop_head()
        .dead_letter_exchange("amq.fanout")
        .build();
    let one = PolicyParams::new(V, "one", "^plain$", definition.clone())
        .apply_to(PolicyTarget::ClassicQueues)
        .priority(3);
    let two = PolicyParams::new(V, "two", "^q", definition).apply_to(PolicyTarget::Queues);
    call!(report, client.declare_policy(&one));
    call!(report, client.declare_policies(vec![&one, &two]));
    if let Some(found) = call!(report, client.get_policy(V, "one")) {
        let same = found.pattern == "^plain$" && found.priority == 3;
        report.holds("declare_policy", "as declared", same);
        report.holds("declare_policy", "its kind", found.apply_to == PolicyTarget::ClassicQueues);
    }
    call!(report, client.delete_policy(V, "one", false));
    call!(report, client.delete_policy(V, "one", true));
    call!(report, client.delete_policies_in(V, vec!["two"]));
    report.refused("get_policy that is not there", client.get_policy(V, "one"));
}

fn operator_policies(client: &Api, report: &mut Report) {
    let definition = PolicyDefinitionBuilder::new().max_length(500).build();
    let one = PolicyParams::new(V, "one", "^plain$", definition.clone())
        .apply_to(PolicyTarget::Queues)
        .priority(7);
    let two = PolicyParams::new(V, "two", "^q", definition).apply_to(PolicyTarget::QuorumQueues);
    call!(report, client.declare_operator_policy(&one));
    call!(report, client.declare_operator_policies(vec![&one, &two]));
    call!(report, client.get_operator_policy(V, "one"));
    call!(report, client.delete_operator_policy(V, "one", false));
    call!(report, client.delete_operator_policy(V, "one", true));
    call!(report, client.delete_operator_policies_in(V, vec!["two"]));
    report.refused("get_operator_policy not there", client.get_operator_policy(V, "one"));
}

fn parameters(client: &Api, report: &mut Report) {
    let value: Map<String, Value> = Map::from_iter([
        ("src-protocol".to_owned(), json!("amqp091")),
        ("src-uri".to_owned(), json!("amqp://")),
        ("src-queue".to_owned(), json!("plain")),
        ("dest-protocol".to_owned(), json!("amqp091")),
        ("dest-uri".to_owned(), json!("amqp://")),
        ("dest-queue".to_owned(), json!("quorum")),
    ]);
    let shovel = |name| RuntimeParameterDefinition {
        name,
        vhost: V,
        component: "shovel",
        value: value.clone(),
    };
    let (first, second) = (shovel("first"), shovel("second"));
    call!(report, client.upsert_runtime_parameter(&first));
    call!(report, client.upsert_runtime_parameter(&second));
    if let Some(found) = call!(report, client.get_runtime_parameter("shovel", V, "first")) {
        report.holds("upsert_runtime_parameter", "whole", found.value.0 == value);
    }
    call!(report, client.clear_runtime_parameter("shovel", V, "first", false));
    call!(report, client.clear_runtime_parameter("shovel", V, "first", true));
    call!(report, client.clear_runtime_parameter("shovel", V, "second", false));

    let tags = Map::from_iter([("region".to_owned(), json!("here"))]);
    let global = GlobalRuntimeParameterDefinition { name: "site", value: tags.clone() };
    call!(report, client.upsert_global_runtime_parameter(&global));
    call!(report, client.get_global_runtime_parameter("site"));
    call!(report, client.clear_global_runtime_parameter("site"));
    let before = client.get_cluster_tags().ok();
    call!(report, client.set_cluster_tags(tags.clone()));
    let set = call!(report, client.get_cluster_tags());
    report.holds("set_cluster_tags", "as set", set.is_some_and(|set| set.0 == tags));
    call!(report, client.clear_cluster_tags());
    if let Some(before) = before {
        call!(report, client.set_cluster_tags(before.0.clone()));
    }
}

fn limits(client: &Api, report: &mut Report) {
    let connections = EnforcedLimitParams::new(VirtualHostLimitTarget::MaxConnections, 77);
    let queues = EnforcedLimitParams::new(VirtualHostLimitTarget::MaxQueues, 88);
    call!(report, client.set_vhost_limit(V, connections));
    call!(report, client.set_vhost_limit(V, queues));
    let found = call!(report, client.list_vhost_limits(V)).unwrap_or_default();
    let both = found.first().is_some_and(|of| of.limits.0.len() == 2);
    report.holds("set_vhost_limit", "both are there", both);
    call!(report, client.clear_vhost_limit(V, VirtualHostLimitTarget::MaxConnections));
    call!(report, client.clear_vhost_limit(V, VirtualHostLimitTarget::MaxQueues));
    call!(report, client.list_vhost_limits(V));
    call!(report, client.list_all_vhost_limits());
    let channels = EnforcedLimitParams::new(UserLimitTarget::MaxChannels, 9);
    let connections = EnforcedLimitParams::new(UserLimitTarget::MaxConnections, 8);
    call!(report, client.set_user_limit("writer", channels));
    call!(report, client.set_user_limit("writer", connections));
    call!(report, client.list_user_limits("writer"));
    call!(report, client.clear_user_limit("writer", UserLimitTarget::MaxChannels));
    call!(report, client.clear_user_limit("writer", UserLimitTarget::MaxConnections));
    call!(report, client.list_user_limits("writer"));
    call!(report, client.list_all_user_limits());
}

fn definitions(client: &Api, report: &mut Report) {
    let Some(text) = call!(report, client.export_vhost_definitions(V)) else { return };
    let of_vhost: Value = serde_json::from_str(&text).unwrap_or_default();
    call!(report, client.delete_queue(V, "plain", false));
    call!(report, client.import_vhost_definitions(V, of_vhost));
    call!(report, client.get_queue_info(V, "plain"));
    let Some(text) = call!(report, client.export_cluster_wide_definitions()) else { return };
    let whole: Value = serde_json::from_str(&text).unwrap_or_default();
    call!(report, client.delete_exchange(V, "topic", false));
    call!(report, client.import_definitions(whole.clone()));
    call!(report, client.get_exchange_info(V, "topic"));
    call!(report, client.import_cluster_wide_definitions(whole));
}

/// Who started this opened a connection of the user `closed` and two of `all-closed`, and sees
/// that they end.
fn connections(client: &Api, report: &mut Report) {
    let of_one = call!(report, client.list_user_connections("closed")).unwrap_or_default();
    report.holds("list_user_connections", "the one", of_one.len() == 1);
    for connection in of_one {
        let reason = Some("because of a test");
        report.call("close_connection", client.close_connection(&connection.name, reason, false));
        report
            .call("close_connection again", client.close_connection(&connection.name, None, true));
    }
    let unknown = client.close_connection("nobody", None, false);
    report.refused("close_connection that is not there", unknown);
    call!(report, client.close_user_connections("all-closed", Some("all of them"), false));
}

fn node(client: &Api, report: &mut Report) {
    let before = client.get_cluster_name().map(|found| found.name).unwrap_or_default();
    call!(report, client.set_cluster_name("named by a client"));
    let named = client.get_cluster_name().map(|found| found.name).unwrap_or_default();
    report.holds("set_cluster_name", "the new name", named == "named by a client");
    call!(report, client.set_cluster_name(&before));
    call!(report, client.rebalance_queue_leaders());
    let flags = call!(report, client.list_feature_flags());
    for flag in flags.iter().flat_map(|flags| flags.iter()) {
        report.call("enable_feature_flag", client.enable_feature_flag(&flag.name));
    }
    call!(report, client.enable_all_stable_feature_flags());
}

fn end(client: &Api, report: &mut Report) {
    call!(report, client.delete_user("writer", false));
    call!(report, client.delete_vhost(V, false));
    call!(report, client.delete_vhost(V, true));
    report.refused("get_vhost that is gone", client.get_vhost(V));
}
