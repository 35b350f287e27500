{{/* The objects' name; 10 characters are left for suffixes. */}}
{{- define "claw-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What tells the operator's pods from all others: never changes. */}}
{{- define "claw-operator.selectorLabels" -}}
app.kubernetes.io/name: claw-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "claw-operator.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/name" "claw-operator"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (.Chart.AppVersion | toString)
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- merge $labels .Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
Metadata of an object. Takes root, and where needed name (else made of the objects' name and suffix), labels,
annotations, and clusterWide for objects that lie in no namespace.
*/}}
{{- define "claw-operator.metadata" -}}
name: {{ default (printf "%s%s" (include "claw-operator.fullname" .root) (default "" .suffix)) .name }}
{{- if not .clusterWide }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels: {{- include "claw-operator.labels" .root | fromYaml | merge (deepCopy (default (dict) .labels)) | toYaml | nindent 2 }}
{{- with merge (deepCopy (default (dict) .annotations)) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "claw-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "claw-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image's reference. Takes root, image and suffix, which is added to the default tag. */}}
{{- define "claw-operator.image" -}}
{{- $registry := default .root.Values.imageRegistry .image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ default (printf "%s%s" .root.Chart.AppVersion (default "" .suffix)) .image.tag }}
{{- end -}}
{{- end -}}
