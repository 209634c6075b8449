//! Every reading call, against a broker with objects of every kind.

use rabbitmq_http_client::commons::{PaginationParams, PolicyTarget, SupportedProtocol};
use rabbitmq_http_client::responses::ReachabilityProbeOutcome;

use crate::report::Report;
use crate::{Api, Place};

/// Calls `client.method(arguments)` and has its answer checked under its own name.
macro_rules! call {
    ($report:ident, $client:ident . $($call:tt)*) => {
        $report.call(stringify!($($call)*), $client.$($call)*)
    };
}

/// The same for a list that must not be empty.
macro_rules! list {
    ($report:ident, $client:ident . $($call:tt)*) => {
        $report.list(stringify!($($call)*), $client.$($call)*)
    };
}

/// All of them.
pub fn all(client: &Api, place: &Place, report: &mut Report) {
    node(client, place, report);
    vhosts_and_users(client, report);
    queues(client, report);
    exchanges_and_bindings(client, report);
    connections(client, report);
    rules(client, report);
    definitions(client, report);
    health(client, place, report);
}

fn node(client: &Api, place: &Place, report: &mut Report) {
    let node = place.node.as_str();
    call!(report, client.overview());
    call!(report, client.server_version());
    list!(report, client.list_nodes());
    call!(report, client.get_node_info(node));
    call!(report, client.get_node_memory_footprint(node));
    call!(report, client.list_all_cluster_plugins());
    call!(report, client.list_node_plugins(node));
    call!(report, client.get_cluster_name());
    call!(report, client.get_cluster_tags());
    call!(report, client.list_feature_flags());
    call!(report, client.list_all_deprecated_features());
    call!(report, client.list_deprecated_features_in_use());
}

fn vhosts_and_users(client: &Api, report: &mut Report) {
    let page = PaginationParams::new(1, 2);
    list!(report, client.list_vhosts());
    list!(report, client.list_vhosts_paged(&page));
    call!(report, client.get_vhost("strict"));
    list!(report, client.list_users());
    list!(report, client.list_users_paged(&page));
    list!(report, client.list_users_without_permissions());
    call!(report, client.get_user("guest"));
    call!(report, client.current_user());
    list!(report, client.list_permissions());
    list!(report, client.list_permissions_in("strict"));
    list!(report, client.list_permissions_of("guest"));
    call!(report, client.get_permissions("strict", "guest"));
    list!(report, client.list_topic_permissions());
    list!(report, client.list_topic_permissions_in("strict"));
    list!(report, client.list_topic_permissions_of("reader"));
    call!(report, client.get_topic_permissions_of("strict", "reader"));
    let reached = matches!(client.probe_reachability(), ReachabilityProbeOutcome::Reached(_));
    report.holds("probe_reachability()", "the broker is reached", reached);
}

fn queues(client: &Api, report: &mut Report) {
    let page = PaginationParams::new(1, 2);
    let all = list!(report, client.list_queues());
    report.holds("list_queues()", "all seven are there", all.len() >= 7);
    list!(report, client.list_queues_paged(&page));
    list!(report, client.list_queues_in("strict"));
    list!(report, client.list_queues_in_paged("strict", &page));
    list!(report, client.list_queues_with_details());
    for queue in all.iter().filter(|queue| queue.vhost == "strict") {
        report.call("get_queue_info", client.get_queue_info("strict", &queue.name));
        report.call("list_queue_bindings", client.list_queue_bindings("strict", &queue.name));
    }
    call!(report, client.get_stream_info("strict", "stream"));
    list!(report, client.list_classic_queues());
    list!(report, client.list_classic_queues_in("strict"));
    list!(report, client.list_quorum_queues());
    list!(report, client.list_quorum_queues_in("strict"));
    list!(report, client.list_streams());
    list!(report, client.list_streams_in("strict"));
    // The client picks the streams out of a page of queues.
    let long = PaginationParams::new(1, 100);
    list!(report, client.list_streams_paged(&long));
    list!(report, client.list_streams_in_paged("strict", &long));
    let got = list!(report, client.get_messages("strict", "classic", 2, "ack_requeue_true"));
    report.holds("get_messages", "a body", got.iter().all(|message| !message.payload.is_empty()));
}

fn exchanges_and_bindings(client: &Api, report: &mut Report) {
    let page = PaginationParams::new(1, 2);
    list!(report, client.list_exchanges());
    list!(report, client.list_exchanges_paged(&page));
    let all = list!(report, client.list_exchanges_in("strict"));
    list!(report, client.list_exchanges_in_paged("strict", &page));
    for exchange in all.iter().filter(|exchange| !exchange.name.is_empty()) {
        report.call("get_exchange_info", client.get_exchange_info("strict", &exchange.name));
    }
    list!(report, client.list_bindings());
    list!(report, client.list_bindings_in("strict"));
    list!(report, client.list_exchange_bindings_with_source("strict", "topic"));
    list!(report, client.list_exchange_bindings_with_destination("strict", "fanout"));
}

fn connections(client: &Api, report: &mut Report) {
    let page = PaginationParams::new(1, 2);
    let all = list!(report, client.list_connections());
    list!(report, client.list_connections_paged(&page));
    list!(report, client.list_connections_in("strict"));
    list!(report, client.list_user_connections("guest"));
    for connection in &all {
        report.call("get_connection_info", client.get_connection_info(&connection.name));
        report.list("list_channels_on", client.list_channels_on(&connection.name));
    }
    let channels = list!(report, client.list_channels());
    for channel in &channels {
        report.call("get_channel_info", client.get_channel_info(&channel.name));
    }
    list!(report, client.list_channels_paged(&page));
    list!(report, client.list_channels_in("strict"));
    list!(report, client.list_channels_in_paged("strict", &page));
    list!(report, client.list_consumers());
    list!(report, client.list_consumers_in("strict"));
}

fn rules(client: &Api, report: &mut Report) {
    list!(report, client.list_policies());
    list!(report, client.list_policies_in("strict"));
    call!(report, client.get_policy("strict", "short"));
    list!(report, client.list_policies_for_target("strict", PolicyTarget::Queues));
    list!(report, client.list_matching_policies("strict", "classic", PolicyTarget::Queues));
    list!(report, client.list_operator_policies());
    list!(report, client.list_operator_policies_in("strict"));
    call!(report, client.get_operator_policy("strict", "capped"));
    list!(report, client.list_operator_policies_for_target("strict", PolicyTarget::Queues));
    let matching =
        client.list_matching_operator_policies("strict", "classic", PolicyTarget::Queues);
    report.list("list_matching_operator_policies", matching);
    list!(report, client.list_runtime_parameters());
    list!(report, client.list_runtime_parameters_of_component("shovel"));
    list!(report, client.list_runtime_parameters_of_component_in("shovel", "strict"));
    call!(report, client.get_runtime_parameter("shovel", "strict", "moved"));
    list!(report, client.list_global_runtime_parameters());
    call!(report, client.get_global_runtime_parameter("cluster_tags"));
    list!(report, client.list_all_vhost_limits());
    list!(report, client.list_vhost_limits("strict"));
    list!(report, client.list_all_user_limits());
    list!(report, client.list_user_limits("reader"));
}

fn definitions(client: &Api, report: &mut Report) {
    call!(report, client.export_cluster_wide_definitions());
    call!(report, client.export_cluster_wide_definitions_as_string());
    call!(report, client.export_vhost_definitions("strict"));
    call!(report, client.export_vhost_definitions_as_string("strict"));
    if let Some(set) = call!(report, client.export_cluster_wide_definitions_as_data()) {
        let whole = !set.queues.is_empty() && !set.bindings.is_empty() && !set.users.is_empty();
        report.holds("export_cluster_wide_definitions_as_data()", "nothing is left out", whole);
    }
    if let Some(set) = call!(report, client.export_vhost_definitions_as_data("strict")) {
        let whole = !set.queues.is_empty() && !set.bindings.is_empty();
        report.holds("export_vhost_definitions_as_data()", "nothing is left out", whole);
    }
}

fn health(client: &Api, place: &Place, report: &mut Report) {
    call!(report, client.health_check_cluster_wide_alarms());
    call!(report, client.health_check_local_alarms());
    call!(report, client.health_check_if_node_is_quorum_critical());
    call!(report, client.health_check_port_listener(place.amqp_port));
    report.refused("health_check_port_listener(1)", client.health_check_port_listener(1));
    let of = |protocol| client.health_check_protocol_listener(protocol);
    report.call("health_check_protocol_listener(AMQP)", of(SupportedProtocol::AMQP));
    report.call("health_check_protocol_listener(HTTP)", of(SupportedProtocol::HTTP));
    report.refused("health_check_protocol_listener(MQTT)", of(SupportedProtocol::MQTT));
}
