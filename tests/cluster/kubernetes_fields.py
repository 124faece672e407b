"""Which fields Kubernetes and KubeRay know, as far as kuberay.yaml goes into them, and what of a document they do not.

KubeRay's are those of its CRD API reference, of version 1.6.2 (docs/reference/api.md of its repository); required are
those that its sources (ray-operator/apis/ray/v1) do not mark as optional. Kubernetes's are those of the models of its
Python client 37.0.2, made from the OpenAPI document of release 1.37.
"""

from collections.abc import Iterator
from typing import Any

# By type: each field, with * if it is required, and after a colon what it holds if that is looked into.
FIELDS = {
    "RayJob": "apiVersion* kind* metadata:ObjectMeta spec:RayJobSpec",
    "RayJobSpec": """activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint entrypointNumCpus
        entrypointNumGpus entrypointResources jobId managedBy metadata preRunningDeadlineSeconds
        rayClusterSpec:RayClusterSpec runtimeEnvYAML shutdownAfterJobFinishes submissionMode submitterConfig
        submitterPodTemplate:PodTemplateSpec suspend ttlSecondsAfterFinished""",
    "RayClusterSpec": """authOptions:AuthOptions autoscalerOptions:AutoscalerOptions enableInTreeAutoscaling
        gcsFaultToleranceOptions headGroupSpec*:HeadGroupSpec headServiceAnnotations managedBy rayVersion suspend
        upgradeStrategy workerGroupSpecs:WorkerGroupSpec""",
    "AuthOptions": "enableK8sTokenAuth mode secretName",
    "AutoscalerOptions": """env:EnvVar envFrom idleTimeoutSeconds image imagePullPolicy resources:ResourceRequirements
        securityContext upscalingMode version volumeMounts:VolumeMount""",
    "HeadGroupSpec": """enableIngress headService labels:Texts rayStartParams:Texts resources:Texts serviceType
        template*:PodTemplateSpec""",
    "WorkerGroupSpec": """groupName* idleTimeoutSeconds labels:Texts maxReplicas* minReplicas* numOfHosts
        rayStartParams:Texts replicas resources:Texts scaleStrategy suspend template*:PodTemplateSpec""",
    "ObjectMeta": """annotations:Texts creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers
        generateName generation labels:Texts managedFields name namespace ownerReferences resourceVersion selfLink
        uid""",
    "PodTemplateSpec": "metadata:ObjectMeta spec:PodSpec",
    "PodSpec": """activeDeadlineSeconds affinity automountServiceAccountToken containers*:Container dnsConfig dnsPolicy
        enableServiceLinks ephemeralContainers evictionResponders hostAliases hostIPC hostNetwork hostPID hostUsers
        hostname hostnameOverride imagePullSecrets initContainers:Container nodeName nodeSelector:Texts os overhead
        preemptionPolicy priority priorityClassName readinessGates resourceClaims resources restartPolicy
        runtimeClassName schedulerName schedulingGates schedulingGroup securityContext:PodSecurityContext
        serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain
        terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes:Volume""",
    "PodSecurityContext": """appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser
        seLinuxChangePolicy seLinuxOptions seccompProfile supplementalGroups supplementalGroupsPolicy sysctls
        windowsOptions""",
    "Container": """args command env:EnvVar envFrom image imagePullPolicy lifecycle livenessProbe name* ports
        readinessProbe resizePolicy resources:ResourceRequirements restartPolicy restartPolicyRules securityContext
        startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices
        volumeMounts:VolumeMount workingDir""",
    "EnvVar": "name* value:Text valueFrom",
    "ResourceRequirements": "claims limits requests",
    "VolumeMount": "bindMountOptions mountPath* mountPropagation name* readOnly recursiveReadOnly subPath subPathExpr",
    "Volume": """awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc
        flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi name* nfs
        persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk portworxVolume projected quobyte
        rbd scaleIO secret storageos vsphereVolume""",
    "PersistentVolumeClaimVolumeSource": "claimName* readOnly",
    "PersistentVolumeClaim": "apiVersion* kind* metadata:ObjectMeta spec:PersistentVolumeClaimSpec status",
    "PersistentVolumeClaimSpec": """accessModes dataSource dataSourceRef resources:VolumeResourceRequirements selector
        storageClassName volumeAttributesClassName volumeMode volumeName""",
    "VolumeResourceRequirements": "limits requests",
}


def unknown_or_missing(given: Any, kind: str, at: str = "") -> Iterator[str]:
    """A line for each field of `given` that its type, or that of what is in it, does not know or misses."""
    if isinstance(given, list):
        for item in given:
            yield from unknown_or_missing(item, kind, at)
    elif kind == "Text":
        if not isinstance(given, str):
            yield f"{at} is {given}, and no text"
    elif kind == "Texts":
        for name, value in given.items():
            yield from unknown_or_missing(value, "Text", f"{at}.{name}")
    else:
        known = {word.partition(":")[0].strip("*"): word.partition(":")[2] for word in FIELDS[kind].split()}
        required = {word.partition(":")[0].strip("*") for word in FIELDS[kind].split() if "*" in word}
        yield from (f"{at}.{name} is missing".lstrip(".") for name in sorted(required - set(given)))
        for name, value in given.items():
            place = f"{at}.{name}".lstrip(".")
            if name not in known:
                yield f"{place} is unknown"
            elif known[name]:
                yield from unknown_or_missing(value, known[name], place)
