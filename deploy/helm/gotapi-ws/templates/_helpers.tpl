{{/* Most of these take a context of one service: root (the chart's), name (edge or historysvc), values. */}}

{{- define "gotapi-ws.base" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "gotapi-ws.fullname" -}}
{{ include "gotapi-ws.base" .root }}-{{ .name }}
{{- end -}}

{{- define "gotapi-ws.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ toYaml .root.Release.Name }}
{{- end -}}

{{- define "gotapi-ws.metadata" -}}
name: {{ include "gotapi-ws.fullname" . }}
namespace: {{ toYaml .root.Release.Namespace }}
labels:
  {{- include "gotapi-ws.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: gotapi-ws
{{- end -}}

{{/* Names go through toYaml, which quotes those that YAML takes for a number, a boolean or null. */}}

{{/* One map of a list of maps: the later ones win, also with an empty value, which sprig's merge would pass over. */}}
{{- define "gotapi-ws.overlay" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The name of the file that a setting names: GOTAPI_ADMIN_SECRET_FILE is admin-secret. */}}
{{- define "gotapi-ws.file" -}}
{{ . | trimPrefix "GOTAPI_" | trimSuffix "_FILE" | lower | replace "_" "-" }}
{{- end -}}

{{/* Of the context: env and files, besides what all have. */}}
{{- define "gotapi-ws.workload" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $env := include "gotapi-ws.overlay" (list .env $root.Values.env $values.env) | fromYaml -}}
{{- $files := include "gotapi-ws.overlay" (list .files $root.Values.files $values.files) | fromYaml -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "gotapi-ws.metadata" . | nindent 2 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  minReadySeconds: {{ $values.minReadySeconds }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "gotapi-ws.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "gotapi-ws.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: gotapi-ws
      {{- $annotations := $values.podAnnotations }}
      {{- if not $root.Values.serviceMonitor.enabled }}
      {{- $annotations = merge (dict) $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090") }}
      {{- end }}
      {{- with $annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ toYaml . }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "gotapi-ws.selector" $ | nindent 14 }}
        {{- end }}
      {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
      {{- with index $values $key }}
      {{ $key }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      containers:
        - name: {{ .name }}
          {{- $image := printf "gotapi/%s:%s" .name ($root.Values.image.tag | default (print "v" $root.Chart.AppVersion)) }}
          image: {{ with $root.Values.image.registry }}{{ . }}/{{ end }}{{ $image }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          env:
            {{- range $key, $value := $env }}
            - name: {{ $key }}
              value: {{ $value | quote }}
            {{- end }}
            {{- with get . "redis" }}
            - name: GOTAPI_REDIS
              valueFrom:
                secretKeyRef:
                  name: {{ toYaml .secretName }}
                  key: {{ toYaml .key }}
            {{- end }}
            {{- range $key, $_ := $files }}
            - name: {{ $key }}
              value: /etc/gotapi/{{ include "gotapi-ws.file" $key }}
            {{- end }}
          ports:
            - name: {{ .port.name }}
              containerPort: {{ .port.number }}
            - name: ops
              containerPort: 9090
          startupProbe:
            httpGet: {path: /livez, port: ops}
            {{- toYaml $values.probes.startup | nindent 12 }}
          livenessProbe:
            httpGet: {path: /livez, port: ops}
            {{- toYaml $values.probes.liveness | nindent 12 }}
          readinessProbe:
            {{- toYaml .ready | nindent 12 }}
            {{- toYaml $values.probes.readiness | nindent 12 }}
          lifecycle:
            # New connections go elsewhere before this pod stops accepting them.
            preStop:
              sleep: {seconds: {{ $values.preStopSeconds }}}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: files
              mountPath: /etc/gotapi
              readOnly: true
      volumes:
        - name: files
          projected:
            defaultMode: 0440
            sources:
              {{- range $key, $file := $files }}
              - secret:
                  name: {{ toYaml $file.secretName }}
                  items:
                    - key: {{ toYaml $file.key }}
                      path: {{ include "gotapi-ws.file" $key }}
              {{- end }}
{{- with $values.podDisruptionBudget }}
{{- if .enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "gotapi-ws.metadata" $ | nindent 2 }}
spec:
  {{- toYaml .spec | nindent 2 }}
  selector:
    matchLabels:
      {{- include "gotapi-ws.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- with $values.autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "gotapi-ws.metadata" $ | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "gotapi-ws.fullname" $ }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    {{- with get . "cpu" }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
    {{- with get . "connections" }}
    - type: Pods
      pods:
        metric: {name: gotapi_edge_sessions}
        target: {type: AverageValue, averageValue: {{ . | int64 | quote }}}
    {{- end }}
  {{- with .behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "gotapi-ws.port" -}}
{{ get .Values.edge.service "port" | default (ternary 443 80 .Values.edge.tls.enabled) }}
{{- end -}}
