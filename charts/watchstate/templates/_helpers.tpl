{{/* The name for labels. */}}
{{- define "watchstate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
What the names of all objects begin with. 40 characters: with the longest suffix they stay below the 52 that a StatefulSet may have
(its pods bear its name and a hash in a label), and below the 63 of a Service.
*/}}
{{- define "watchstate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What a Deployment selects by; it can't be changed later. Takes (dict "root" $ "component" NAME). */}}
{{- define "watchstate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "watchstate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object. Takes (dict "root" $ "component" NAME "labels" MORE). Ours win, and a key appears once. */}}
{{- define "watchstate.labels" -}}
{{- $ours := include "watchstate.selectorLabels" . | fromYaml }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $ours "app.kubernetes.io/part-of" "watchstate" }}
{{- $_ := set $ours "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- merge $ours (default dict .labels) .root.Values.commonLabels | toYaml }}
{{- end }}

{{/* Labels of a pod: no versions, or pods would be replaced when only the chart changes. Takes the same. */}}
{{- define "watchstate.podLabels" -}}
{{- $ours := include "watchstate.selectorLabels" . | fromYaml }}
{{- $_ := set $ours "app.kubernetes.io/part-of" "watchstate" }}
{{- merge $ours (default dict .labels) .root.Values.commonLabels | toYaml }}
{{- end }}

{{/* name, namespace and labels of an object. Takes (dict "root" $ "component" NAME "labels" MORE "annotations" MORE "name" OTHER). */}}
{{- define "watchstate.metadata" -}}
name: {{ default (printf "%s-%s" (include "watchstate.fullname" .root) .component) .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "watchstate.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A full image reference: the digest wins over the tag. Takes (dict "image" IMAGE "default" TAG). */}}
{{- define "watchstate.imageReference" -}}
{{- if and .image.digest .image.tag }}
{{- printf "%s:%s@%s" .image.repository .image.tag .image.digest }}
{{- else if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .default .image.tag) }}
{{- end }}
{{- end }}

{{- define "watchstate.image" -}}
{{- include "watchstate.imageReference" (dict "image" .Values.image "default" .Chart.AppVersion) }}
{{- end }}

{{/* Takes (dict "root" $ "component" operator|webhook|worker). */}}
{{- define "watchstate.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- if $account.create }}
{{- default (printf "%s-%s" (include "watchstate.fullname" .root) .component) $account.name }}
{{- else }}
{{- default "default" $account.name }}
{{- end }}
{{- end }}

{{/* A service account without a token: a pod that talks to the API server asks for one itself. Takes the same. */}}
{{- define "watchstate.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "watchstate.metadata" (dict "root" .root "component" .component "annotations" $account.annotations "name" (include "watchstate.serviceAccountName" .)) | nindent 2 }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the database's address is: the name of the Secret. Fails where no way or two ways to a database are given. */}}
{{- define "watchstate.databaseSecret" -}}
{{- $database := .Values.database }}
{{- $ways := list }}
{{- if $database.existingSecret }}{{ $ways = append $ways "database.existingSecret" }}{{ end }}
{{- if $database.url }}{{ $ways = append $ways "database.url" }}{{ end }}
{{- if .Values.postgres.enabled }}{{ $ways = append $ways "postgres.enabled" }}{{ end }}
{{- if not $ways }}
{{- fail "\n\nA database is needed. Choose one:\n  --set database.existingSecret=NAME    a Secret with its address under the key uri, such as CloudNativePG's <cluster>-app\n  --set postgres.enabled=true           a small Postgres, for trying\n  --set database.url=postgres://...     the address itself\n" }}
{{- end }}
{{- if gt (len $ways) 1 }}
{{- fail (printf "\n\nOne database is enough: leave out all but one of %s.\n" (join ", " $ways)) }}
{{- end }}
{{- if $database.existingSecret }}
{{- $database.existingSecret }}
{{- else if $database.url }}
{{- printf "%s-database" (include "watchstate.fullname" .) }}
{{- else }}
{{- printf "%s-postgres" (include "watchstate.fullname" .) }}
{{- end }}
{{- end }}

{{/* The key in that Secret. */}}
{{- define "watchstate.databaseSecretKey" -}}
{{- ternary .Values.database.existingSecretKey "uri" (not (empty .Values.database.existingSecret)) }}
{{- end }}

{{/* The address of the webhook for media servers, without a path. $(WATCHSTATE_NAMESPACE) is filled in by the kubelet. */}}
{{- define "watchstate.webhookUrl" -}}
{{- $webhook := .Values.webhook }}
{{- if $webhook.url }}
{{- $webhook.url | trimSuffix "/" }}
{{- else if and $webhook.httpRoute.enabled $webhook.httpRoute.hostnames }}
{{- printf "https://%s" (first $webhook.httpRoute.hostnames) }}
{{- else if and $webhook.ingress.enabled $webhook.ingress.hosts }}
{{- printf "%s://%s" (ternary "https" "http" (not (empty $webhook.ingress.tls))) (first $webhook.ingress.hosts) }}
{{- else }}
{{- printf "http://%s-webhook.$(WATCHSTATE_NAMESPACE).svc:%d" (include "watchstate.fullname" .) (int $webhook.service.port) }}
{{- end }}
{{- end }}

{{/*
"true" if an object of another project's kind shall be made: it is enabled, and the cluster knows its kind or the user doesn't mind.
Takes (dict "root" $ "enabled" BOOL "api" "group/version" "kind" KIND "flag" VALUE).
*/}}
{{- define "watchstate.wanted" -}}
{{- $missing := not (.root.Capabilities.APIVersions.Has (printf "%s/%s" .api .kind)) }}
{{- $mode := .root.Values.metrics.ifMissing }}
{{- if .enabled }}
{{- if and $missing (eq $mode "Fail") }}
{{- fail (printf "\n\n%s is set, and the cluster doesn't know the kind %s of %s. Install it first, or set metrics.ifMissing to Skip or Render.\n" .flag .kind .api) }}
{{- end }}
{{- if or (not $missing) (eq $mode "Render") }}true{{ end }}
{{- end }}
{{- end }}
