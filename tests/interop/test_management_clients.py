"""Clients of the HTTP API for Python: pyrabbit2, AMQPStorm's and rabbitmq-admin, call by call."""

import amqpstorm.management
import pyrabbit2.api
import pyrabbit2.http
import pika.exceptions
import pytest
import rabbitmq_admin

EVERYTHING = ".*"


@pytest.fixture
def opened(managed):
    """A connection with one channel, in the default vhost."""
    with managed.connect() as connection:
        connection.channel()
        yield connection


def test_pyrabbit_reads_and_writes(managed, opened):
    rabbit = pyrabbit2.api.Client(f"127.0.0.1:{managed.management_port}", "guest", "guest")
    assert rabbit.is_alive()
    with pytest.raises(pyrabbit2.api.APIError):
        rabbit.is_alive("nope")
    assert rabbit.get_whoami()["name"] == "guest"
    assert rabbit.get_overview()["object_totals"]["connections"] == 1
    assert rabbit.get_nodes()[0]["running"]
    assert rabbit.get_extensions() == []
    assert rabbit.get_cluster_name()["name"]
    assert "guest" in [user["name"] for user in rabbit.get_users()]
    assert "/" in [vhost["name"] for vhost in rabbit.get_all_vhosts()]
    assert {"queues", "users", "vhosts"} <= rabbit.get_definitions().keys()

    rabbit.create_vhost("py/v")
    assert "py/v" in rabbit.get_vhost_names()
    assert rabbit.get_vhost("py/v")["name"] == "py/v"
    rabbit.create_user("py", "secret", tags="management")
    rabbit.create_user("pyhash", password_hash="kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
    rabbit.set_vhost_permissions("py/v", "py", EVERYTHING, EVERYTHING, EVERYTHING)
    rabbit.set_vhost_permissions("py/v", "guest", EVERYTHING, EVERYTHING, EVERYTHING)
    granted = {"user": "py", "vhost": "py/v", **dict.fromkeys(["configure", "write", "read"], ".*")}
    assert granted in rabbit.get_permissions()
    assert granted in rabbit.get_vhost_permissions("py/v")
    assert rabbit.get_user_permissions("py") == [granted]
    assert rabbit.get_permission("py/v", "py") == granted
    theirs = pyrabbit2.api.Client(f"127.0.0.1:{managed.management_port}", "py", "secret")
    assert theirs.get_whoami()["tags"] in ("management", ["management"])
    with pytest.raises(pyrabbit2.api.PermissionError):
        theirs.get_users()

    rabbit.create_exchange("py/v", "x", "topic")
    assert rabbit.get_exchange("py/v", "x")["type"] == "topic"
    assert "x" in [found["name"] for found in rabbit.get_exchanges("py/v")]
    assert len(rabbit.get_exchanges()) > len(rabbit.get_exchanges("py/v"))
    rabbit.create_queue("py/v", "q", durable=True, arguments={"x-max-length": 10})
    rabbit.create_queue("py/v", "other", auto_delete=False, durable=True)
    assert rabbit.get_queue("py/v", "q")["arguments"] == {"x-max-length": 10}
    assert {queue["name"] for queue in rabbit.get_queues("py/v")} == {"other", "q"}
    found = rabbit.get_queues("py/v", pattern="oth", regex=False)
    assert [queue["name"] for queue in found] == ["other"]
    found = rabbit.get_queues("py/v", pattern="^q", regex=True)
    assert [queue["name"] for queue in found] == ["q"]
    rabbit.create_binding("py/v", "x", "q", "a.#")
    bound = {"source": "x", "destination": "q", "routing_key": "a.#"}
    for bindings in [rabbit.get_bindings(), rabbit.get_queue_bindings("py/v", "q")]:
        assert any(bound.items() <= binding.items() for binding in bindings)

    assert rabbit.publish("py/v", "x", "a.b", "body", properties={"delivery_mode": 2})
    assert not rabbit.publish("py/v", "x", "nowhere", "body")
    assert rabbit.publish("py/v", "x", "a.c", "Ym9keQ==", payload_enc="base64")
    assert rabbit.get_queue_depth("py/v", "q") == 2
    rabbit.get_queue_depths("py/v")
    first, second = rabbit.get_messages("py/v", "q", count=5, requeue=True)
    assert (first["payload"], second["payload"]) == ("body", "body")
    short = rabbit.get_messages("py/v", "q", count=1, truncate=2)
    assert short[0]["payload"] == "bo" and short[0]["redelivered"]
    rabbit.purge_queue("py/v", "q")
    assert rabbit.purge_queues([("q", "py/v"), ("other", "py/v")])
    assert rabbit.get_queue_depth("py/v", "q") == 0

    rule = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
    rabbit.create_policy("py/v", "p", **rule)
    assert rule.items() <= rabbit.get_policy("py/v", "p").items()
    assert "p" in [policy["name"] for policy in rabbit.get_all_policies()]
    rabbit.delete_policy("py/v", "p")
    shovel = {"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://", "dest-queue": "other"}
    rabbit.create_shovel("py/v", "s", **shovel)
    assert rabbit.get_shovel("py/v", "s")["value"] == shovel
    assert [found["name"] for found in rabbit.get_all_shovels()] == ["s"]
    rabbit.delete_shovel("py/v", "s")

    (name,) = [connection["name"] for connection in rabbit.get_connections()]
    assert rabbit.get_connection(name)["user"] == "guest"
    (channel,) = [channel["name"] for channel in rabbit.get_channels()]
    assert rabbit.get_channel(channel)["number"] == 1
    rabbit.delete_connection(name)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        opened.process_data_events(10)
    assert opened.is_closed

    rabbit.delete_binding("py/v", "x", "q", "a.%23")
    rabbit.delete_queue("py/v", "q")
    rabbit.delete_queue("py/v", "other")
    with pytest.raises(pyrabbit2.http.HTTPError):
        rabbit.get_queue("py/v", "q")
    rabbit.delete_exchange("py/v", "x")
    rabbit.delete_permission("py/v", "py")
    rabbit.delete_user("py")
    rabbit.delete_user("pyhash")
    rabbit.delete_vhost("py/v")


def test_amqpstorm_reads_and_writes(managed, opened):
    storm = amqpstorm.management.ManagementApi(managed.api.removesuffix("/api"), "guest", "guest")
    refused = amqpstorm.management.ApiError
    assert storm.aliveness_test()["status"] == "ok"
    assert storm.overview()["object_totals"]["connections"] == 1
    assert storm.cluster_name()["name"]
    (node,) = [node["name"] for node in storm.nodes()]
    assert storm.node(node)["name"] == node
    assert storm.whoami()["name"] == "guest"
    assert storm.healthchecks.get() == {"status": "ok"}
    assert storm.healthchecks.get(node) == {"status": "ok"}

    storm.virtual_host.create("storm/v")
    assert storm.virtual_host.get("storm/v")["name"] == "storm/v"
    assert "storm/v" in [vhost["name"] for vhost in storm.virtual_host.list()]
    storm.user.create("storm", "secret", tags="monitoring")
    storm.user.create("storm2", "secret", tags=["monitoring", "policymaker"])
    assert storm.user.get("storm")["tags"] in ("monitoring", ["monitoring"])
    assert {"storm", "storm2"} <= {user["name"] for user in storm.user.list()}
    for user in ["storm", "guest"]:
        storm.user.set_permission(user, "storm/v")
    assert storm.user.get_permission("storm", "storm/v")["write"] == ".*"
    assert [found["vhost"] for found in storm.user.get_permissions("storm")] == ["storm/v"]
    users = {found["user"] for found in storm.virtual_host.get_permissions("storm/v")}
    assert users == {"guest", "storm"}

    of_v = {"virtual_host": "storm/v"}
    storm.exchange.declare("x", "topic", durable=True, **of_v)
    storm.exchange.declare("x", passive=True, **of_v)
    storm.exchange.declare("y", "fanout", internal=True, auto_delete=False, **of_v)
    with pytest.raises(refused):
        storm.exchange.declare("nope", passive=True, **of_v)
    assert storm.exchange.get("x", **of_v)["type"] == "topic"
    assert {"x", "y"} <= {found["name"] for found in storm.exchange.list(**of_v)}
    assert [found["name"] for found in storm.exchange.list(name="x", **of_v)] == ["x"]
    assert len(storm.exchange.list(show_all=True)) > len(storm.exchange.list(**of_v))
    storm.exchange.bind("y", "x", "e.*", **of_v)
    storm.queue.declare("q", durable=True, arguments={"x-message-ttl": 60000}, **of_v)
    storm.queue.declare("q", passive=True, **of_v)
    assert storm.queue.get("q", **of_v)["arguments"] == {"x-message-ttl": 60000}
    assert [queue["name"] for queue in storm.queue.list(**of_v)] == ["q"]
    assert storm.queue.list(name="^q", use_regex=True, page_size=1, **of_v)
    assert "q" in [queue["name"] for queue in storm.queue.list(show_all=True)]
    storm.queue.bind("q", "x", "a", **of_v)
    assert {bound["source"] for bound in storm.queue.bindings("q", **of_v)} == {"", "x"}
    assert {bound["destination"] for bound in storm.exchange.bindings("x", **of_v)} == {"q", "y"}

    sent = {"content_type": "text/plain", "headers": {"n": 1}}
    assert storm.basic.publish("body", "a", "x", properties=sent, **of_v) == {"routed": True}
    assert storm.basic.publish("body", "q", **of_v) == {"routed": True}
    assert storm.basic.publish("body", "nope", "x", **of_v) == {"routed": False}
    first, second = storm.basic.get("q", requeue=True, count=5, **of_v)
    assert first.body == "body" and first.properties["headers"]["n"] == 1
    assert second.body == "body"
    (again,) = storm.basic.get("q", to_dict=True, **of_v)
    assert again["redelivered"] and again["message_count"] == 1
    storm.queue.purge("q", **of_v)
    assert storm.basic.get("q", **of_v) == []

    (name,) = [connection["name"] for connection in storm.connection.list()]
    assert storm.connection.get(name)["user"] == "guest"
    assert [found["name"] for found in storm.connection.list(name=name[:9])] == [name]
    (channel,) = [channel["name"] for channel in storm.channel.list()]
    assert storm.channel.get(channel)["number"] == 1
    assert storm.channel.list(page_size=10)
    storm.connection.close(name, reason="a test")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        opened.process_data_events(10)
    assert "a test" in str(closed.value)

    storm.queue.unbind("q", "x", "a", **of_v)
    storm.exchange.unbind("y", "x", "e.*", **of_v)
    storm.queue.delete("q", **of_v)
    with pytest.raises(refused):
        storm.queue.get("q", **of_v)
    storm.exchange.delete("x", **of_v)
    storm.user.delete_permission("storm", "storm/v")
    storm.user.delete("storm")
    storm.user.delete(["storm2"])
    storm.virtual_host.delete("storm/v")


def test_rabbitmq_admin_reads_and_writes(managed, opened):
    admin = rabbitmq_admin.AdminAPI(managed.api.removesuffix("/api"), ("guest", "guest"))
    assert admin.overview()["object_totals"]["connections"] == 1
    assert admin.get_cluster_name()["name"]
    (node,) = [node["name"] for node in admin.list_nodes()]
    assert admin.get_node(node)["name"] == node
    # It writes `True`, which is no flag to RabbitMQ either.
    assert admin.get_node(node, memory=True, binary=True)["name"] == node
    assert admin.list_extensions() == []
    assert admin.whoami()["name"] == "guest"
    assert admin.is_vhost_alive("/")["status"] == "ok"

    admin.create_vhost("a/v")
    admin.create_vhost("a/v", tracing=True)
    assert admin.get_vhost("a/v")["tracing"]
    assert "a/v" in [vhost["name"] for vhost in admin.list_vhosts()]
    admin.create_user("adm", "secret", tags=["monitoring"])
    assert admin.get_user("adm")["tags"] in ("monitoring", ["monitoring"])
    assert "adm" in [user["name"] for user in admin.list_users()]
    for user in ["adm", "guest"]:
        admin.create_user_permission(user, "a/v")
    assert admin.get_user_permission("a/v", "adm")["read"] == ".*"
    assert admin.list_user_permissions("adm")[0]["vhost"] == "a/v"
    assert "adm" in [found["user"] for found in admin.list_permissions()]

    admin.create_exchange_for_vhost("x", "a/v", {"type": "direct", "durable": True})
    assert admin.get_exchange_for_vhost("x", "a/v")["type"] == "direct"
    assert "x" in [found["name"] for found in admin.list_exchanges_for_vhost("a/v")]
    assert admin.list_exchanges()
    assert admin.list_bindings_for_vhost("a/v") == [] and admin.list_bindings() is not None
    assert admin.list_consumers() == [] and admin.list_consumers_for_vhost("a/v") == []
    admin.create_policy_for_vhost("a/v", "p", {"max-length": 9}, pattern="^q", apply_to="queues")
    assert admin.get_policy_for_vhost("a/v", "p")["definition"] == {"max-length": 9}
    assert len(admin.list_policies_for_vhost("a/v")) == len(admin.list_policies()) == 1
    definitions = admin.get_definitions()
    admin.delete_policy_for_vhost("a/v", "p")
    managed.ask("POST", "definitions", definitions)
    assert admin.list_policies_for_vhost("a/v")

    (name,) = [connection["name"] for connection in admin.list_connections()]
    (channel,) = [channel["name"] for channel in admin.list_channels()]
    # It writes spaces in a path as `+`, which RabbitMQ does not take for spaces either.
    assert channel.startswith(name)

    admin.delete_exchange_for_vhost("x", "a/v", if_unused=True)
    admin.delete_user_permission("adm", "a/v")
    admin.delete_user("adm")
    admin.delete_vhost("a/v")
