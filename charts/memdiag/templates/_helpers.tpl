{{/* Short name: what app.kubernetes.io/name says. */}}
{{- define "memdiag.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{/* Name of every object in the namespace; 53 characters leave room for the suffixes of components and pods. */}}
{{- define "memdiag.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "memdiag.name" . -}}
{{- /* a release may have dots in its name, a Service may not */ -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if contains $name $release -}}
{{- $release | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Stem of cluster-scoped names: with the namespace, so that two releases never meet. */}}
{{- define "memdiag.clusterFullname" -}}
{{- printf "%s-%s" (include "memdiag.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "memdiag.agentName" -}}
{{- printf "%s-agent" (include "memdiag.fullname" .) -}}
{{- end }}

{{- define "memdiag.operatorName" -}}
{{- printf "%s-operator" (include "memdiag.fullname" .) -}}
{{- end }}

{{/* Selector labels. Call with (dict "root" $ "component" "agent"). */}}
{{- define "memdiag.selectorLabels" -}}
app.kubernetes.io/name: {{ include "memdiag.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object. Call with (dict "root" $ "component" "agent"). */}}
{{- define "memdiag.labels" -}}
{{ include "memdiag.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: memdiag
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The same and further ones, which never replace the chart's. Call with (dict "root" $ "component" "agent" "more" MAP). */}}
{{- define "memdiag.labelsWith" -}}
{{- toYaml (merge (include "memdiag.labels" . | fromYaml) (.more | default dict)) -}}
{{- end }}

{{/* The annotations that every object gets, as a whole field; nothing where there are none. */}}
{{- define "memdiag.annotations" -}}
{{- with .Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end }}

{{/* Variables of a container from a map of names and values. */}}
{{- define "memdiag.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Image reference: the digest where one is given, else the tag. */}}
{{- define "memdiag.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* The lines of a pod spec that agent and operator share. Call with (dict "root" $ "values" .Values.agent). */}}
{{- define "memdiag.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Probes of a container whose port is named "health". The start may take two minutes on a slow node. It asks for life, not
for readiness: where the API server is away, a restart would help nobody.
*/}}
{{- define "memdiag.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* What both pods may always reach: names, and the API server, whose address a chart cannot know. */}}
{{- define "memdiag.egress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
    {{- if .Values.openshift.scc }}
    # there the name servers' pods listen on another port than their Service, and a policy sees the pod's
    - port: 5353
      protocol: UDP
    - port: 5353
      protocol: TCP
    {{- end }}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* The Secret with Slack's credential, and its key, which is the name of the mounted file as well. */}}
{{- define "memdiag.alertSecret" -}}
{{- .Values.alerts.slack.secret | default (printf "%s-alerts" (include "memdiag.fullname" .)) -}}
{{- end }}

{{- define "memdiag.alertKey" -}}
{{- ternary "webhook-url" "bot-token" (eq .Values.alerts.slack.method "webhook") -}}
{{- end }}

{{/* What the operator and `memdiag alert test` read: the values without the credential. */}}
{{- define "memdiag.alertSettings" -}}
{{- $slack := dict
  "method" .Values.alerts.slack.method
  "channel" .Values.alerts.slack.channel
  "routes" .Values.alerts.slack.routes
  "allowedChannels" .Values.alerts.slack.allowedChannels
  "namespaces" (dict "include" .Values.alerts.slack.namespaces.include "exclude" .Values.alerts.slack.namespaces.exclude)
  "minSeverity" .Values.alerts.slack.minSeverity
  "cooldownMinutes" .Values.alerts.slack.cooldownMinutes
  "budgetPerHour" .Values.alerts.slack.budgetPerHour
  "storm" (dict "workloads" .Values.alerts.slack.storm.workloads "seconds" .Values.alerts.slack.storm.seconds)
  "pictures" .Values.alerts.slack.pictures
  "baseURL" .Values.alerts.slack.baseURL
  "proxy" .Values.alerts.slack.proxy }}
{{- dict "clusterName" .Values.alerts.clusterName "slack" $slack | toPrettyJson }}
{{- end }}

{{/* The port by which Slack is reached: the proxy's, else that of the Web API. */}}
{{- define "memdiag.slackPort" -}}
{{- $url := .Values.alerts.slack.proxy | default .Values.alerts.slack.baseURL | default "https://slack.com" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse $url).host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (hasPrefix "http:" $url)) -}}
{{- end }}
