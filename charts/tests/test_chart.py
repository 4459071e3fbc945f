#!/usr/bin/env python3
"""What the chart promises, by rendering it: python3 charts/tests/test_chart.py HELM

Needs helm, PyYAML, and kubectl for the kustomize base (its test is skipped without). No cluster is asked.
"""

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import yaml

CHARTS = Path(__file__).resolve().parent.parent
ROOT = CHARTS.parent
CHART = CHARTS / "watchstate"
HELM = "helm"
NAMESPACE = "media"

sys.dont_write_bytecode = True
sys.path.insert(0, str(CHARTS))
import base  # noqa: E402
import readme  # noqa: E402

DATABASE = {"database": {"existingSecret": "pg-app"}}
EVERYTHING = {
    "commonLabels": {"team": "home"},
    "imagePullSecrets": [{"name": "pull"}],
    "image": {"digest": "sha256:" + "a" * 64},
    "traces": {"endpoint": "http://collector:4318"},
    "postgres": {"enabled": True, "podAnnotations": {"a": "b"}, "storage": {"className": "fast"}},
    "operator": {
        "replicas": 2,
        "annotations": {"reloader.stakater.com/auto": "true"},
        "podLabels": {"a": "b", "app.kubernetes.io/component": "not-this-one"},
        "podAnnotations": {"a": "b"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
    "webhook": {
        "autoscaling": {"enabled": True, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
        "trustedProxies": ["10.42.0.0/16", "fd00::/8"],
        "keepRequests": "1h30m",
        "spool": {"persistence": {"enabled": True, "className": "fast"}},
        "service": {"type": "LoadBalancer", "labels": {"a": "b"}, "annotations": {"a": "b"}, "extraSpec": {"externalTrafficPolicy": "Local"}},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "external"}], "hostnames": ["a.example"], "timeouts": {"request": "20s"}},
        "ingress": {"enabled": True, "className": "nginx", "hosts": ["b.example"], "tls": [{"secretName": "tls", "hosts": ["b.example"]}]},
        "extraEnv": [{"name": "WATCHSTATE_MAX_CONNECTIONS", "value": "64"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    },
    "metrics": {
        "ifMissing": "Render",
        "podMonitor": {"enabled": True, "scrapeTimeout": "10s", "relabelings": [{"action": "labeldrop", "regex": "a"}]},
        "prometheusRule": {"enabled": True, "extraRules": [{"alert": "Mine", "expr": "vector(1)"}]},
        "dashboard": {"enabled": True, "grafanaOperator": {"enabled": True, "folder": "Media"}},
    },
    "networkPolicy": {"enabled": True, "operatorEgress": [{}], "workerEgress": [{}], "metricsFrom": [{"namespaceSelector": {}}]},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-map"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n",
    ],
}
VALUES = {
    "existing secret": DATABASE,
    "address": {"database": {"url": "postgres://u:p@h:5432/n"}},
    "postgres": {"postgres": {"enabled": True}},
    "no webhook": {**DATABASE, "webhook": {"enabled": False}},
    "one of each": {**DATABASE, "webhook": {"replicas": 1}},
    "everything": EVERYTHING,
    "service monitor": {**DATABASE, "metrics": {"ifMissing": "Render", "serviceMonitor": {"enabled": True, "scrapeTimeout": "10s"}}},
}


class Refused(Exception):
    """Helm doesn't render this."""


@functools.cache
def answered(*command, stdin):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def helm(*arguments, values=None, version="1.34.0"):
    return answered(HELM, *arguments, "--kube-version", version, "--values", "-", stdin=json.dumps(values or {}))


def text(values, release="watchstate", version="1.34.0", chart=CHART, more=()):
    return helm("template", release, str(chart), "--namespace", NAMESPACE, *more, values=values, version=version)


def render(values, **how):
    return [document for document in yaml.safe_load_all(text(values, **how)) if document]


def named(documents, kind, name=None):
    found = [one for one in documents if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def kinds(documents):
    return {document["kind"] for document in documents}


def pods(documents):
    """Name, labels and spec of each pod that the documents make."""
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind == "Pod":
            yield name, document["metadata"]["labels"], document["spec"]
        elif kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = document["spec"]["template"]
            yield name, template["metadata"]["labels"], template["spec"]


def env(pod, container=0):
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][container]["env"]}


def unrestricted(pod):
    """What the pod security standard "restricted", a read-only root, and care with tokens forbid in this pod."""
    wrong = []
    whole = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            wrong.append(key)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    wrong += [f"volume {volume['name']}" for volume in pod.get("volumes", []) if not allowed & set(volume)]
    for container in pod.get("initContainers", []) + pod["containers"]:
        own = container.get("securityContext", {})
        either = {**whole, **own}
        if either.get("runAsNonRoot") is not True or either.get("runAsUser") == 0:
            wrong.append("runs as root")
        if either.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            wrong.append("seccomp")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            wrong.append("privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            wrong.append("capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            wrong.append("writable root")
        if any("hostPort" in port for port in container.get("ports", [])):
            wrong.append("hostPort")
        probes = [container.get(f"{kind}Probe", {}).get("httpGet", {}) for kind in ("startup", "liveness", "readiness")]
        if any("host" in probe for probe in probes):
            wrong.append("a probe names a host")
    return wrong


class Everywhere(unittest.TestCase):
    """What holds for whatever values."""

    def test_every_pod_is_restricted_and_asks_for_resources(self):
        for title, values in VALUES.items():
            for name, _, pod in pods(render(values)):
                with self.subTest(title, pod=name):
                    self.assertEqual(unrestricted(pod), [])
                    self.assertFalse(pod["enableServiceLinks"])
                    for container in pod["containers"]:
                        self.assertIn("cpu", container["resources"]["requests"])
                        self.assertIn("memory", container["resources"]["limits"])
                        self.assertNotIn("cpu", container["resources"]["limits"])

    def test_only_the_operator_gets_a_token_of_the_api_server(self):
        for title, values in VALUES.items():
            documents = render(values)
            for name, labels, pod in pods(documents):
                with self.subTest(title, pod=name):
                    self.assertEqual(pod["automountServiceAccountToken"], labels["app.kubernetes.io/component"] in ("operator", "farewell"))
            for account in (one for one in documents if one["kind"] == "ServiceAccount"):
                self.assertIs(account["automountServiceAccountToken"], False)

    def test_selectors_find_their_pods_and_only_those(self):
        for title, values in VALUES.items():
            documents = render(values)
            of_pods = {name: labels for name, labels, _ in pods(documents)}

            def chosen(selector):
                return {name for name, labels in of_pods.items() if selector.items() <= labels.items()}

            for document in documents:
                kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
                with self.subTest(title, kind=kind, name=name):
                    if kind in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
                        self.assertEqual(chosen(spec["selector"]["matchLabels"]), {name})
                    if kind in ("Deployment", "StatefulSet"):
                        for constraint in spec["template"]["spec"].get("topologySpreadConstraints", []):
                            self.assertEqual(chosen(constraint["labelSelector"]["matchLabels"]), {name})
                    if kind == "Service" and not name.endswith("-metrics"):
                        self.assertEqual(chosen(spec["selector"]), {name})
                    if kind == "NetworkPolicy" and not name.endswith("-worker"):
                        self.assertEqual(chosen(spec["podSelector"]["matchLabels"]), {name})

    def test_services_and_probes_name_ports_that_exist(self):
        for title, values in VALUES.items():
            documents = render(values)
            ports = {name: {port["name"] for one in pod["containers"] for port in one.get("ports", [])} for name, _, pod in pods(documents)}
            for document in documents:
                name = document["metadata"]["name"]
                if document["kind"] == "Service":
                    owner = "watchstate-operator" if name.endswith("-metrics") else name
                    with self.subTest(title, service=name):
                        self.assertLessEqual({port["targetPort"] for port in document["spec"]["ports"]}, ports[owner])
            for name, _, pod in pods(documents):
                for container in pod["containers"]:
                    for kind in ("startup", "liveness", "readiness"):
                        probe = container.get(f"{kind}Probe", {}).get("httpGet")
                        with self.subTest(title, pod=name, probe=kind):
                            self.assertTrue(probe is None or probe["port"] in ports[name])

    def test_everything_is_in_the_release_s_namespace_and_nothing_belongs_to_the_cluster(self):
        for title, values in VALUES.items():
            for document in render(values):
                with self.subTest(title, kind=document["kind"]):
                    self.assertNotIn(document["kind"], ("ClusterRole", "ClusterRoleBinding", "Namespace", "PriorityClass"))
                    theirs = document["metadata"]["name"] in ("watchstate-map", "watchstate-text")
                    if document["kind"] != "CustomResourceDefinition" and not theirs:
                        self.assertEqual(document["metadata"]["namespace"], NAMESPACE)

    def test_names_and_labels_are_never_too_long(self):
        release = "a" * 53
        for title, values in VALUES.items():
            more = {**values, "nameOverride": "n" * 70} if title == "everything" else values
            for document in render(more, release=release):
                if document["kind"] == "CustomResourceDefinition" or "-map" in document["metadata"]["name"] or "-text" in document["metadata"]["name"]:
                    continue
                with self.subTest(title, kind=document["kind"], name=document["metadata"]["name"]):
                    # A StatefulSet's pods bear its name and a hash of ten characters in a label.
                    self.assertLessEqual(len(document["metadata"]["name"]), 52 if document["kind"] == "StatefulSet" else 63)
                    self.assertRegex(document["metadata"]["name"], r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
                    for value in document["metadata"]["labels"].values():
                        self.assertLessEqual(len(value), 63)

    def test_objects_are_made_once(self):
        for title, values in VALUES.items():
            keys = [(one["kind"], one["metadata"]["name"]) for one in render(values)]
            self.assertEqual(len(keys), len(set(keys)), title)

    def test_it_renders_for_the_oldest_kubernetes_and_refuses_older_ones(self):
        self.assertTrue(render(DATABASE, version="1.33.0"))
        with self.assertRaisesRegex(Refused, "kubeVersion"):
            render(DATABASE, version="1.32.9")

    def test_helm_lint_is_content(self):
        for title, values in VALUES.items():
            with self.subTest(title):
                self.assertIn("0 chart(s) failed", helm("lint", "--strict", str(CHART), values=values))

    def test_the_notes_name_the_next_commands(self):
        # Helm shows notes only where it installs: here they are part of an object.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "watchstate"
            shutil.copytree(CHART, copy)
            notes = (copy / "templates" / "NOTES.txt").read_text()
            wrapped = '{{ define "notes" }}' + notes + '{{ end }}\nkind: Notes\nmetadata: {name: notes}\ntext: {{ include "notes" . | toJson }}\n'
            (copy / "templates" / "notes.yaml").write_text(wrapped)
            shown = {title: named(render(values, chart=copy), "Notes")["text"] for title, values in VALUES.items()}
        for title, notes in shown.items():
            with self.subTest(title):
                self.assertIn(f"kubectl -n {NAMESPACE} get ms,sync", notes)
                self.assertNotIn("$(WATCHSTATE_NAMESPACE)", notes)
                for document in yaml.safe_load_all(re.search(r"<<'EOF'\n(.*?)EOF\n", notes, re.DOTALL)[1]):
                    self.assertIn(document["kind"], ("MediaServer", "SyncSchedule"))
        self.assertIn(f"http://watchstate-webhook.{NAMESPACE}.svc:8080\n", shown["existing secret"])
        self.assertIn("https://a.example\n", shown["everything"])


class Resources(unittest.TestCase):
    """CustomResourceDefinitions."""

    def test_the_files_equal_the_generated_ones(self):
        ours = {path.name: path.read_bytes() for path in (CHART / "files" / "crds").glob("*")}
        generated = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml") if path.name != "kustomization.yaml"}
        self.assertEqual(ours, generated)

    def test_they_are_rendered_byte_by_byte_and_kept_by_an_annotation(self):
        kept = text(DATABASE)
        plain = text({**DATABASE, "crds": {"keep": False}})
        for path in (CHART / "files" / "crds").glob("*"):
            self.assertIn(path.read_text(), plain)
            definition = yaml.safe_load(path.read_text())
            definition["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
            self.assertIn(definition, list(yaml.safe_load_all(kept)))

    def test_they_can_be_left_out(self):
        self.assertNotIn("CustomResourceDefinition", kinds(render({**DATABASE, "crds": {"enabled": False}})))

    def test_an_example_of_each_kind_is_in_the_chart_s_annotations(self):
        annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
        listed = {one["kind"]: one["name"] for one in yaml.safe_load(annotations["artifacthub.io/crds"])}
        definitions = [yaml.safe_load(path.read_text()) for path in (CHART / "files" / "crds").glob("*")]
        self.assertEqual(listed, {one["spec"]["names"]["kind"]: one["metadata"]["name"] for one in definitions})
        self.assertEqual({one["kind"] for one in yaml.safe_load(annotations["artifacthub.io/crdsExamples"])}, set(listed))


class Database(unittest.TestCase):
    """The three ways to a database."""

    def address(self, values):
        found = {json.dumps(env(pod)["DATABASE_URL"]["secretKeyRef"], sort_keys=True) for name, _, pod in pods(render(values)) if name not in ("watchstate-postgres", "watchstate-farewell")}
        self.assertEqual(len(found), 1, "all pods use the same database")
        return json.loads(found.pop())

    def test_an_existing_secret_is_used_as_cloudnativepg_makes_it(self):
        self.assertEqual(self.address(DATABASE), {"name": "pg-app", "key": "uri"})
        self.assertEqual(self.address({"database": {"existingSecret": "x", "existingSecretKey": "url"}}), {"name": "x", "key": "url"})
        self.assertNotIn("Secret", kinds(render(DATABASE)))

    def test_an_address_goes_into_a_secret_and_nowhere_else(self):
        values = VALUES["address"]
        self.assertEqual(self.address(values), {"name": "watchstate-database", "key": "uri"})
        documents = render(values)
        self.assertEqual(named(documents, "Secret")["stringData"], {"uri": values["database"]["url"]})
        self.assertEqual(text(values).count(values["database"]["url"]), 1)

    def test_a_changed_address_replaces_the_pods(self):
        def checksum(url):
            return named(render({"database": {"url": url}}), "Deployment", "watchstate-webhook")["spec"]["template"]["metadata"]["annotations"]["checksum/database"]

        self.assertNotEqual(checksum("postgres://a"), checksum("postgres://b"))

    def test_the_postgres_for_trying_gets_a_password_that_stays(self):
        documents = render(VALUES["postgres"])
        secret = named(documents, "Secret")
        self.assertEqual(self.address(VALUES["postgres"]), {"name": "watchstate-postgres", "key": "uri"})
        self.assertRegex(secret["stringData"]["password"], "^[A-Za-z0-9]{32}$")
        self.assertEqual(secret["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        uri = f"postgres://watchstate:{secret['stringData']['password']}@watchstate-postgres:5432/watchstate"
        self.assertEqual(secret["stringData"]["uri"], uri)
        given = named(render({"postgres": {"enabled": True, "password": "abc"}}), "Secret")
        self.assertEqual(given["stringData"]["password"], "abc")

    def test_none_and_two_are_refused_in_words(self):
        with self.assertRaisesRegex(Refused, "A database is needed"):
            render({})
        with self.assertRaisesRegex(Refused, "leave out all but one of database.existingSecret, postgres.enabled"):
            render({**DATABASE, "postgres": {"enabled": True}})

    def test_the_operator_tells_workers_where_the_secret_is(self):
        operator = env(named(render(VALUES["postgres"]), "Deployment", "watchstate-operator")["spec"]["template"]["spec"])
        self.assertEqual((operator["WATCHSTATE_DATABASE_SECRET"], operator["WATCHSTATE_DATABASE_SECRET_KEY"]), ("watchstate-postgres", "uri"))

    def test_workers_log_and_trace_as_the_rest_does_and_get_the_user_s_variables(self):
        def told(values):
            operator = env(named(render({**DATABASE, **values}), "Deployment", "watchstate-operator")["spec"]["template"]["spec"])
            return json.loads(operator["WATCHSTATE_WORKER_ENV"])

        level = {"name": "WATCHSTATE_LOG", "value": "info"}
        form = {"name": "WATCHSTATE_LOG_FORMAT", "value": "auto"}
        self.assertEqual(told({}), [level, form])
        self.assertEqual(told({"logs": {"format": "text"}}), [level, {**form, "value": "text"}])
        secret = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}}}
        debug = {"name": "WATCHSTATE_LOG", "value": "debug"}
        traces = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}
        values = {"traces": {"endpoint": traces["value"]}, "worker": {"extraEnv": [secret, debug]}}
        self.assertEqual(told(values), [form, traces, secret, debug])

    def test_the_kubelet_fills_in_variables_of_workers_in_their_pods_and_in_the_user_s_order(self):
        extra = [{"name": name, "value": value} for name, value in [("Z_HOST", "proxy"), ("A_URL", "http://$(Z_HOST):3128"), ("B", "$$(A_URL) $")]]
        operator = env(named(render({**DATABASE, "worker": {"extraEnv": extra}}), "Deployment", "watchstate-operator")["spec"]["template"]["spec"])
        text = operator["WATCHSTATE_WORKER_ENV"]
        self.assertNotIn("$", text.replace("$$", ""), "the kubelet finds nothing to fill in, and makes a $ of each two")
        self.assertEqual(json.loads(text.replace("$$", "$"))[2:], extra)


class Operator(unittest.TestCase):
    """The operator's pod and rights."""

    def setUp(self):
        self.documents = render(DATABASE)
        self.pod = named(self.documents, "Deployment", "watchstate-operator")["spec"]["template"]["spec"]

    def test_it_is_told_what_its_code_reads(self):
        told = env(self.pod)
        expected = {
            "WATCHSTATE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
            "WATCHSTATE_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
            "WATCHSTATE_WORKER_IMAGE": self.pod["containers"][0]["image"],
            "WATCHSTATE_WORKER_IMAGE_PULL_POLICY": "IfNotPresent",
            "WATCHSTATE_WORKER_SERVICE_ACCOUNT": "watchstate-worker",
            "WATCHSTATE_WEBHOOK_URL": "http://watchstate-webhook.$(WATCHSTATE_NAMESPACE).svc:8080",
            "WATCHSTATE_ADMIN_ADDRESS": "0.0.0.0:9090",
            "WATCHSTATE_LOG": "info",
        }
        self.assertLessEqual(expected.items(), told.items())
        # The kubelet fills in variables that stand before.
        names = list(told)
        self.assertLess(names.index("WATCHSTATE_NAMESPACE"), names.index("WATCHSTATE_WEBHOOK_URL"))

    @unittest.skipUnless((ROOT / "operator" / "src").exists(), "there is no operator yet")
    def test_its_variables_are_ones_that_the_program_knows(self):
        sources = [path for folder in ("operator/src", "worker/runtime/src") for path in (ROOT / folder).rglob("*.rs")]
        options = "".join(path.read_text() for path in sources)
        for name in env(self.pod):
            self.assertIn(f'"{name}"', options)

    def test_its_probes_are_on_the_admin_port(self):
        container = self.pod["containers"][0]
        probes = {kind: (container[f"{kind}Probe"]["httpGet"]["port"], container[f"{kind}Probe"]["httpGet"]["path"]) for kind in ("startup", "liveness", "readiness")}
        self.assertEqual(probes, {"startup": ("admin", "/livez"), "liveness": ("admin", "/livez"), "readiness": ("admin", "/readyz")})

    def test_its_rights_are_spelled_out_and_bound_to_it_alone(self):
        rules = named(self.documents, "Role")["rules"]
        for rule in rules:
            for listed in rule.values():
                self.assertNotIn("*", listed)
            self.assertNotIn("deletecollection", rule["verbs"])
            self.assertNotIn("pods/exec", rule["resources"])
        self.assertEqual([rule for rule in rules if "resourceNames" in rule], [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["watchstate-operator"], "verbs": ["get", "update"]},
        ])
        binding = named(self.documents, "RoleBinding")
        self.assertEqual(binding["roleRef"]["kind"], "Role")
        self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": "watchstate-operator", "namespace": NAMESPACE}])
        self.assertEqual(self.pod["serviceAccountName"], "watchstate-operator")

    def test_a_comment_says_why_each_rule_is_there(self):
        lines = (CHART / "templates" / "operator" / "rbac.yaml").read_text().splitlines()
        rules = [number for number, line in enumerate(lines) if line.startswith("  - apiGroups:")]
        self.assertTrue(rules)
        for number in rules:
            self.assertTrue(lines[number - 1].startswith("  # "), lines[number])

    def test_service_accounts_of_others_can_be_used(self):
        values = {**DATABASE, **{part: {"serviceAccount": {"create": False, "name": f"my-{part}"}} for part in ("operator", "worker", "webhook")}}
        documents = render(values)
        self.assertNotIn("ServiceAccount", kinds(documents))
        operator = named(documents, "Deployment", "watchstate-operator")["spec"]["template"]["spec"]
        self.assertEqual((operator["serviceAccountName"], env(operator)["WATCHSTATE_WORKER_SERVICE_ACCOUNT"]), ("my-operator", "my-worker"))
        self.assertEqual(named(documents, "RoleBinding")["subjects"][0]["name"], "my-operator")


class Farewell(unittest.TestCase):
    """What runs before an uninstallation."""

    def job(self, values):
        return [document for document in render({**DATABASE, **values}) if document["kind"] == "Job"]

    def test_it_runs_as_the_operator_before_anything_is_deleted_and_needs_no_database(self):
        [job] = self.job({"operator": {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}})
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete")
        pod = job["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], "watchstate-operator")
        self.assertIn("--farewell", pod["containers"][0]["args"])
        self.assertNotIn("DATABASE_URL", env(pod))
        self.assertEqual(env(pod)["HTTPS_PROXY"], "http://proxy")

    def test_it_can_be_left_out(self):
        self.assertEqual(self.job({"operator": {"farewell": {"enabled": False}}}), [])


class Webhook(unittest.TestCase):
    """The receiver."""

    def webhook(self, **values):
        return render({**DATABASE, "webhook": values})

    def test_it_takes_events_until_nobody_sends_any_and_has_time_to_drain(self):
        deployment = named(render(DATABASE), "Deployment", "watchstate-webhook")
        pod = deployment["spec"]["template"]["spec"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertEqual((sleep, pod["terminationGracePeriodSeconds"]), (10, 40))
        self.assertEqual(deployment["spec"]["strategy"]["rollingUpdate"], {"maxUnavailable": 0, "maxSurge": 1})

    def test_it_is_alive_by_the_admin_port_and_ready_when_it_takes_events(self):
        container = named(render(DATABASE), "Deployment", "watchstate-webhook")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["startupProbe"]["httpGet"], {"path": "/livez", "port": "admin"})
        self.assertEqual(container["livenessProbe"]["httpGet"], {"path": "/livez", "port": "admin"})
        # Not /readyz: it says no while the database is away, and then the spool is what events are sent to.
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/", "port": "http"})
        # A Service that published pods that end would send events to closed ports.
        self.assertNotIn("publishNotReadyAddresses", named(render(DATABASE), "Service", "watchstate-webhook")["spec"])

    def test_the_admin_port_is_not_published_with_the_events(self):
        ports = named(render(DATABASE), "Service", "watchstate-webhook")["spec"]["ports"]
        self.assertEqual([port["targetPort"] for port in ports], ["http"])

    def test_its_volume_holds_far_more_than_the_spool_may_take(self):
        pod = named(self.webhook(spool={"mib": 64}), "Deployment", "watchstate-webhook")["spec"]["template"]["spec"]
        self.assertEqual(env(pod)["WATCHSTATE_SPOOL_MIB"], "64")
        self.assertEqual(pod["volumes"], [{"name": "spool", "emptyDir": {"sizeLimit": "512Mi"}}])

    def test_a_spool_that_outlives_the_pod_is_one_a_replica(self):
        documents = self.webhook(spool={"persistence": {"enabled": True}})
        stateful = named(documents, "StatefulSet", "watchstate-webhook")["spec"]
        self.assertEqual(stateful["volumeClaimTemplates"][0]["metadata"]["name"], "spool")
        self.assertNotIn("volumes", stateful["template"]["spec"])
        self.assertEqual(stateful["replicas"], 2)

    def test_a_disruption_budget_exists_only_with_more_than_one_replica(self):
        def budgets(values):
            return sorted(one["metadata"]["name"] for one in render({**DATABASE, **values}) if one["kind"] == "PodDisruptionBudget")

        self.assertEqual(budgets({}), ["watchstate-webhook"])
        self.assertEqual(budgets({"webhook": {"replicas": 1}}), [])
        self.assertEqual(budgets({"webhook": {"autoscaling": {"enabled": True, "minReplicas": 1}}}), [])
        self.assertEqual(budgets({"webhook": {"replicas": 1, "autoscaling": {"enabled": True}}}), ["watchstate-webhook"])
        self.assertEqual(budgets({"operator": {"replicas": 2}}), ["watchstate-operator", "watchstate-webhook"])
        self.assertEqual(budgets({"webhook": {"podDisruptionBudget": {"enabled": False}}}), [])

    def test_the_autoscaler_decides_over_replicas_alone(self):
        documents = self.webhook(autoscaling={"enabled": True})
        self.assertNotIn("replicas", named(documents, "Deployment", "watchstate-webhook")["spec"])
        target = named(documents, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        self.assertEqual(target, {"apiVersion": "apps/v1", "kind": "Deployment", "name": "watchstate-webhook"})
        self.assertNotIn("HorizontalPodAutoscaler", kinds(render(DATABASE)))

    def test_no_way_in_from_outside_unless_asked_for(self):
        self.assertFalse(kinds(render(DATABASE)) & {"Ingress", "HTTPRoute"})
        self.assertEqual(named(render(DATABASE), "Service", "watchstate-webhook")["spec"]["type"], "ClusterIP")

    def test_ways_in_lead_to_the_service(self):
        documents = render(EVERYTHING)
        self.assertEqual(named(documents, "HTTPRoute")["spec"]["rules"][0]["backendRefs"], [{"name": "watchstate-webhook", "port": 8080}])
        path = named(documents, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]
        self.assertEqual(path, {"path": "/webhook", "pathType": "Exact", "backend": {"service": {"name": "watchstate-webhook", "port": {"name": "http"}}}})
        with self.assertRaisesRegex(Refused, "webhook.ingress.hosts"):
            self.webhook(ingress={"enabled": True})
        with self.assertRaisesRegex(Refused, "webhook.httpRoute.parentRefs"):
            self.webhook(httpRoute={"enabled": True})

    def test_the_operator_knows_the_address_from_outside(self):
        def url(**values):
            return env(named(self.webhook(**values), "Deployment", "watchstate-operator")["spec"]["template"]["spec"]).get("WATCHSTATE_WEBHOOK_URL")

        route = {"enabled": True, "parentRefs": [{"name": "a"}], "hostnames": ["a.example"]}
        self.assertEqual(url(url="https://w.example/base/", httpRoute=route), "https://w.example/base")
        self.assertEqual(url(httpRoute=route), "https://a.example")
        self.assertEqual(url(ingress={"enabled": True, "hosts": ["b.example"]}), "http://b.example")
        self.assertEqual(url(ingress={"enabled": True, "hosts": ["b.example"], "tls": [{"secretName": "t"}]}), "https://b.example")
        self.assertEqual(url(service={"port": 80}), "http://watchstate-webhook.$(WATCHSTATE_NAMESPACE).svc:80")
        self.assertIsNone(url(enabled=False))

    def test_lists_reach_it_as_it_reads_them(self):
        told = env(named(render(EVERYTHING), "StatefulSet", "watchstate-webhook")["spec"]["template"]["spec"])
        self.assertEqual((told["WATCHSTATE_TRUSTED_PROXIES"], told["WATCHSTATE_KEEP_REQUESTS"]), ("10.42.0.0/16,fd00::/8", "1h30m"))
        self.assertEqual(env(named(self.webhook(maxBodyKib=10000000), "Deployment", "watchstate-webhook")["spec"]["template"]["spec"])["WATCHSTATE_MAX_BODY_KIB"], "10000000")

    def test_its_variables_are_ones_that_the_program_knows(self):
        options = "".join(path.read_text() for path in [ROOT / "webhook/src/args.rs", *(ROOT / "worker/runtime/src").rglob("*.rs")])
        for name in env(named(render(EVERYTHING), "StatefulSet", "watchstate-webhook")["spec"]["template"]["spec"]):
            self.assertIn(f'"{name}"', options)


class Images(unittest.TestCase):
    """Which image runs."""

    def images(self, image):
        documents = render({**DATABASE, "image": image})
        images = {container["image"] for _, _, pod in pods(documents) for container in pod["containers"]}
        images.add(env(named(documents, "Deployment", "watchstate-operator")["spec"]["template"]["spec"])["WATCHSTATE_WORKER_IMAGE"])
        self.assertEqual(len(images), 1, "one image for all parts")
        return images.pop()

    def test_the_tag_is_the_version_of_the_chart_unless_said_otherwise(self):
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))
        digest = "sha256:" + "0" * 64
        self.assertEqual(self.images({}), f"ghcr.io/watchstate/watchstate:{version}")
        self.assertEqual(self.images({"repository": "r.example/w", "tag": "t"}), "r.example/w:t")
        self.assertEqual(self.images({"repository": "r.example/w", "digest": digest}), f"r.example/w@{digest}")
        self.assertEqual(self.images({"repository": "r.example/w", "tag": "t", "digest": digest}), f"r.example/w:t@{digest}")
        listed = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
        self.assertEqual([one["image"] for one in listed], [self.images({})])

    def test_pull_secrets_reach_workers_by_their_account(self):
        documents = render({**DATABASE, "imagePullSecrets": [{"name": "pull"}]})
        self.assertEqual(named(documents, "ServiceAccount", "watchstate-worker")["imagePullSecrets"], [{"name": "pull"}])

    def test_the_dockerfile_builds_what_the_chart_starts(self):
        dockerfile = (ROOT / "Dockerfile").read_text()
        for _, labels, pod in pods(render(DATABASE)):
            self.assertIn(Path(pod["containers"][0]["command"][0]).name, dockerfile)
        self.assertIn(f"ARG RUST={tomllib.loads((ROOT / 'rust-toolchain.toml').read_text())['toolchain']['channel']}\n", dockerfile)


class Monitoring(unittest.TestCase):
    """Metrics, alerts, dashboard."""

    @classmethod
    def setUpClass(cls):
        source = (ROOT / "worker/runtime/src/metrics.rs").read_text()
        declared = source[source.index("pub struct Metrics {") : source.index("labels! {")]
        cls.kinds = {f"watchstate_{name}": (kind, labels) for name, kind, labels in re.findall(r"^        (\w+): (Counter|Gauge|Histogram)<(\w+)>", declared, re.MULTILINE)}
        struct = dict(re.findall(r"^    (\w+) \{ (.*) \}$", source[source.index("labels! {") : source.index("label_values! {")], re.MULTILINE))
        cls.labels = {name: set(re.findall(r"(\w+):", fields)) for name, fields in struct.items()}

    def expressions(self):
        dashboard = json.loads((CHART / "files/dashboards/watchstate.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"]
        for group in yaml.safe_load((CHART / "files/prometheusrules.yaml").read_text())["groups"]:
            for rule in group["rules"]:
                yield rule["alert"], rule["expr"]

    def test_every_expression_uses_metrics_and_labels_that_exist(self):
        self.assertIn("watchstate_held_plans", self.kinds)
        for title, expression in self.expressions():
            for name, matchers in re.findall(r"(watchstate_\w+)\{(.*?)\}", expression):
                metric = re.sub("_(bucket|count|sum)$", "", name)
                with self.subTest(title, metric=name):
                    self.assertIn(metric, self.kinds)
                    self.assertEqual(self.kinds[metric][0] == "Histogram", metric != name)
                    known = self.labels[self.kinds[metric][1]] | {"namespace", "pod"}
                    self.assertLessEqual(set(re.findall(r"(\w+)=~?\"", matchers)), known)
                    self.assertIn('namespace="$namespace"', matchers)
                    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression)))) - {"le"}
                    if "group_left" not in expression:
                        self.assertLessEqual(grouped, known)

    def test_every_metric_is_shown(self):
        shown = " ".join(expression for _, expression in self.expressions())
        self.assertEqual([name for name in self.kinds if name not in shown], [])

    def rules(self, **values):
        documents = render({**DATABASE, "metrics": {"ifMissing": "Render", "prometheusRule": {"enabled": True, **values}}})
        groups = named(documents, "PrometheusRule")["spec"]["groups"]
        return {rule["alert"]: rule for group in groups for rule in group["rules"]}

    def test_alerts_are_about_this_namespace_and_keep_their_braces(self):
        for name, rule in self.rules().items():
            self.assertIn(f'namespace="{NAMESPACE}"', rule["expr"], name)
            self.assertLessEqual({"summary", "description"}, set(rule["annotations"]))
        self.assertIn("{{ $labels.server }}", self.rules()["WatchStateSlow"]["annotations"]["summary"])

    def test_an_alert_can_be_changed_and_left_out_by_name(self):
        plain = self.rules()
        rules = self.rules(
            alerts={"WatchStateSilent": {"enabled": False}, "WatchStateHeld": {"for": "1h", "labels": {"severity": "critical"}}},
            alertLabels={"team": "home"},
        )
        self.assertEqual(set(plain) - set(rules), {"WatchStateSilent"})
        self.assertEqual((rules["WatchStateHeld"]["for"], rules["WatchStateHeld"]["labels"]), ("1h", {"severity": "critical", "team": "home"}))
        self.assertEqual(rules["WatchStateHeld"]["expr"], plain["WatchStateHeld"]["expr"])
        with self.assertRaisesRegex(Refused, "there is no alert WatchStateSilence; known: WatchStateEventsLost"):
            self.rules(alerts={"WatchStateSilence": {"enabled": False}})

    def test_kinds_that_the_cluster_does_not_know_are_skipped_refused_or_rendered(self):
        def monitors(mode, more=()):
            values = {**DATABASE, "metrics": {"ifMissing": mode, "podMonitor": {"enabled": True}}}
            return "PodMonitor" in kinds(render(values, more=more))

        self.assertFalse(monitors("Skip"))
        self.assertTrue(monitors("Render"))
        self.assertTrue(monitors("Fail", more=["--api-versions", "monitoring.coreos.com/v1/PodMonitor"]))
        with self.assertRaisesRegex(Refused, "metrics.podMonitor.enabled is set, and the cluster doesn't know the kind PodMonitor"):
            monitors("Fail")

    def test_nothing_is_read_twice(self):
        both = {"ifMissing": "Render", "podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
        with self.assertRaisesRegex(Refused, "read twice"):
            render({**DATABASE, "metrics": both})

    def test_monitors_read_the_admin_port_of_all_parts(self):
        documents = render(EVERYTHING)
        monitor = named(documents, "PodMonitor")["spec"]
        self.assertEqual(monitor["podMetricsEndpoints"][0]["port"], "admin")
        for name, labels, _ in pods(documents):
            self.assertLessEqual(monitor["selector"]["matchLabels"].items(), labels.items(), name)
        documents = render(VALUES["service monitor"])
        service = named(documents, "Service", "watchstate-metrics")
        found = named(documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
        matching = [one["metadata"]["name"] for one in documents if one["kind"] == "Service" and found.items() <= one["metadata"]["labels"].items()]
        self.assertEqual(matching, ["watchstate-metrics"])
        self.assertEqual((service["spec"]["clusterIP"], service["spec"]["selector"]), ("None", {"app.kubernetes.io/part-of": "watchstate"}))

    def test_the_dashboard_is_the_file(self):
        documents = render({**DATABASE, "metrics": {"dashboard": {"enabled": True}}})
        board = named(documents, "ConfigMap")
        self.assertEqual(board["data"]["watchstate.json"], (CHART / "files/dashboards/watchstate.json").read_text())
        self.assertEqual(board["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_the_dashboard_s_panels_lie_side_by_side(self):
        taken = set()
        for panel in json.loads((CHART / "files/dashboards/watchstate.json").read_text())["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertLessEqual(place["x"] + place["w"], 24)
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells


class Policies(unittest.TestCase):
    """Network policies."""

    def policies(self, **values):
        return {one["metadata"]["name"]: one["spec"] for one in render({**DATABASE, "networkPolicy": {"enabled": True, **values}}) if one["kind"] == "NetworkPolicy"}

    def test_none_unless_asked_for(self):
        self.assertNotIn("NetworkPolicy", kinds(render(DATABASE)))

    def test_the_webhook_speaks_to_dns_and_the_database_only(self):
        webhook = self.policies(databaseTo=[{"ipBlock": {"cidr": "10.0.0.0/8"}}])["watchstate-webhook"]
        self.assertEqual([[port["port"] for port in rule["ports"]] for rule in webhook["egress"]], [[53, 53, 5353, 5353], [5432]])
        self.assertEqual(webhook["egress"][1]["to"], [{"ipBlock": {"cidr": "10.0.0.0/8"}}])
        self.assertEqual([rule["ports"][0]["port"] for rule in webhook["ingress"]], ["admin", "http"])

    def test_operator_and_workers_reach_media_servers_anywhere_unless_limited(self):
        policies = self.policies()
        self.assertEqual(policies["watchstate-operator"]["policyTypes"], ["Ingress"])
        self.assertEqual(policies["watchstate-worker"]["policyTypes"], ["Ingress"])
        limited = self.policies(workerEgress=[{"to": [{"ipBlock": {"cidr": "192.168.1.0/24"}}]}])["watchstate-worker"]
        self.assertEqual((limited["policyTypes"], len(limited["egress"])), (["Ingress", "Egress"], 3))


class Values(unittest.TestCase):
    """values.yaml, its schema, its description."""

    def test_readme_and_schema_are_up_to_date(self):
        for path, expected in readme.generate().items():
            self.assertEqual(path.read_text(), expected, f"{path.name}: run python3 charts/readme.py")

    def test_the_schema_refuses_typos_and_nonsense(self):
        for values in [
            {"webhok": {}},
            {"webhook": {"replica": 3}},
            {"webhook": {"service": {"prot": 80}}},
            {"webhook": {"service": {"type": "Ingress"}}},
            {"webhook": {"trustedProxies": "10.0.0.0/8"}},
            {"webhook": {"trustedProxies": ["everybody"]}},
            {"webhook": {"keepRequests": "two hours"}},
            {"webhook": {"url": "watchstate.example"}},
            {"webhook": {"replicas": -1}},
            {"image": {"digest": "abc"}},
            {"image": {"pullPolicy": "Sometimes"}},
            {"database": {"url": "mysql://x"}},
            {"database": {"secret": "x"}},
            {"postgres": {"enabled": True, "password": "p@ss"}},
            {"metrics": {"ifMissing": "skip"}},
            {"metrics": {"prometheusRule": {"alerts": {"WatchStateHeld": {"disabled": True}}}}},
            {"crds": {"keep": "yes"}},
            {"commonLabels": {"a": 1}},
        ]:
            with self.subTest(values), self.assertRaisesRegex(Refused, "values don't meet the specifications of the schema"):
                merged = {**values}
                merged.setdefault("database", DATABASE["database"])
                render(merged)

    def test_it_can_be_part_of_another_chart(self):
        self.assertTrue(render({**DATABASE, "global": {"storageClass": "x"}}))
        self.assertTrue(render({**DATABASE, "enabled": True}), "by `condition: watchstate.enabled`")
        with self.assertRaises(Refused):
            render({**DATABASE, "enabled": "yes"})

    def test_maps_that_stand_in_one_line_take_more_than_that(self):
        strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        documents = render({**DATABASE, "operator": {"strategy": strategy}, "metrics": {"dashboard": {"enabled": True, "labels": {"a": "b"}}}})
        operator = named(documents, "Deployment", "watchstate-operator")
        self.assertEqual(operator["spec"]["strategy"], {"type": "RollingUpdate", **strategy})
        labels = named(documents, "ConfigMap", "watchstate-dashboard")["metadata"]["labels"]
        self.assertLessEqual({"a": "b", "grafana_dashboard": "1"}.items(), labels.items())

    def test_numbers_of_rolling_updates_are_left_out_where_pods_are_recreated(self):
        recreate = {"type": "Recreate"}
        rolling = {"rollingUpdate": {"maxSurge": 1}}
        documents = render({**DATABASE, "webhook": {"strategy": recreate}, "operator": {"strategy": {**rolling, **recreate}}})
        for name in ("watchstate-webhook", "watchstate-operator"):
            self.assertEqual(named(documents, "Deployment", name)["spec"]["strategy"], recreate, name)

    def test_any_user_may_run_it_where_the_cluster_chooses(self):
        nobody = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
        for name, _, pod in pods(render({**DATABASE, "podSecurityContext": nobody})):
            self.assertNotIn("runAsUser", pod["securityContext"], name)
            self.assertEqual(unrestricted(pod), [])

    def test_labels_of_users_never_replace_those_that_are_selected_by(self):
        documents = render(EVERYTHING)
        labels = named(documents, "Deployment", "watchstate-operator")["spec"]["template"]["metadata"]["labels"]
        self.assertEqual((labels["a"], labels["team"], labels["app.kubernetes.io/component"]), ("b", "home", "operator"))

    def test_other_objects_are_rendered_as_templates(self):
        names = {one["metadata"]["name"] for one in render(EVERYTHING) if one["kind"] == "ConfigMap"}
        self.assertLessEqual({"watchstate-map", "watchstate-text"}, names)


class Pages(unittest.TestCase):
    """What the pages for people say about the chart."""

    PAGES = [ROOT / "README.md", CHART / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

    def values(self):
        """Every block of values in a page, also those of a HelmRelease and of an Argo CD Application."""
        keys = set(yaml.safe_load((CHART / "values.yaml").read_text()))
        for page in self.PAGES:
            for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
                for document in yaml.safe_load_all(block):
                    spec = document.get("spec", {}) if isinstance(document, dict) else {}
                    source = spec.get("source") if isinstance(spec, dict) else None
                    if isinstance(document, dict) and set(document) <= keys:
                        yield page.name, document
                    elif document and document.get("kind") == "HelmRelease":
                        yield page.name, spec["values"]
                    elif isinstance(source, dict) and "helm" in source:
                        yield page.name, source["helm"]["valuesObject"]

    def test_all_values_that_they_show_are_taken(self):
        shown = list(self.values())
        self.assertGreater(len(shown), 8)
        for page, values in shown:
            with self.subTest(page, values=values):
                self.assertTrue(render({**DATABASE, **values}))

    def test_all_values_that_they_name_exist(self):
        schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
        for page in self.PAGES:
            # In other pages, fields of the resources are called alike.
            before = "(?:--set |`)" if page.name in ("install.md", "operations.md", "upgrade.md", "gitops.md") else "--set "
            for name in re.findall(rf"{before}((?:{'|'.join(schema)})\.[\w.]+)", page.read_text()):
                known = {"properties": schema}
                for key in name.split("."):
                    known = known.get("properties", {}).get(key)
                    self.assertIsNotNone(known, f"{page.name}: {name}")

    def test_every_alert_is_explained_and_every_metric_exists(self):
        operations = (ROOT / "docs/operations.md").read_text()
        groups = yaml.safe_load((CHART / "files/prometheusrules.yaml").read_text())["groups"]
        alerts = [rule["alert"] for group in groups for rule in group["rules"]]
        self.assertEqual(re.findall(r"^\| `(WatchState\w+)` \|", operations, re.MULTILINE), alerts)
        Monitoring.setUpClass()
        for page in self.PAGES:
            for metric in re.findall(r"^\| .*?`(watchstate_\w+)[{`]", page.read_text(), re.MULTILINE):
                self.assertIn(metric, Monitoring.kinds, page.name)


class Base(unittest.TestCase):
    """The kustomize base."""

    def test_it_is_what_the_chart_renders(self):
        self.assertEqual(base.TARGET.read_text(), base.render(HELM), "run python3 charts/base.py HELM")

    def test_it_leaves_helm_out(self):
        self.assertNotRegex(base.TARGET.read_text(), r"helm\.sh|Helm\b")

    @unittest.skipUnless(shutil.which("kubectl"), "kubectl is missing")
    def test_kustomize_takes_it_and_adds_the_resources(self):
        built = subprocess.run(["kubectl", "kustomize", CHARTS / "base"], check=True, capture_output=True, text=True).stdout
        documents = list(yaml.safe_load_all(built))
        plain = [one for one in yaml.safe_load_all(base.TARGET.read_text()) if one]
        self.assertEqual(len(documents), len(plain) + 2)
        self.assertEqual(sum(one["kind"] == "CustomResourceDefinition" for one in documents), 2)
        self.assertFalse([one["metadata"]["name"] for one in documents if "namespace" in one["metadata"]])
        for name, _, pod in pods(documents):
            self.assertEqual(unrestricted(pod), [], name)
            self.assertEqual(env(pod)["DATABASE_URL"], {"secretKeyRef": {"name": "watchstate-database", "key": "uri"}})


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-") and "." not in Path(sys.argv[1]).name:
        HELM = sys.argv.pop(1)
    unittest.main()
