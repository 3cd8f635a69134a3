"""What programs say before they end, whatever program it is: one row for each cause.

The words are those of the Go, Python and Java programs that run on such platforms: Prometheus and Alertmanager, the
Prometheus operator, Argo CD, Loki, and what databases and kernels say. Repetitions are bounded: every line is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from re import Pattern

from monitoring.diagnosis.base import pattern


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence of a program that names a cause."""

    id: str
    cause: str
    words: Pattern[str]
    title: str
    advice: str
    reference: str
    confidence: float = 0.85


# the first row that fits; inside a row the last line of the log
ROWS = (
    Words(
        "G7",
        "out_of_memory",
        pattern(
            r"cannot allocate memory|runtime: out of memory|outofmemoryerror|heap out of memory|std::bad_alloc|enomem"
        ),
        "It runs out of memory",
        "Raise its memory limit, or give it less to do.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/",
        0.9,
    ),
    Words(
        "W9",
        "files_exhausted",
        pattern(
            r"too many open files|emfile|inotify[^\n]{0,80}(?:limit|watches)|no space left on device[^\n]{0,40}inotify"
        ),
        "It may open no more files or watches",
        "Raise the limit on that node (fs.inotify.max_user_instances, max_user_watches, or open files).",
        "https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files",
        0.9,
    ),
    Words(
        "W9",
        "disk_full",
        pattern(r"no space left on device|disk quota exceeded|enospc|errno 28|database or disk is full"),
        "Its disk is full",
        "Make room or enlarge the volume; until then it cannot start.",
        "https://github.com/prometheus/prometheus/issues/8140",
        0.93,
    ),
    Words(
        "W11",
        "data_locked",
        pattern(
            r"lock db directory|resource temporarily unavailable|no locks available|lockfile|lock file .{0,80}exists|"
            r"another (?:instance|process) (?:is|has)|already locked"
        ),
        "Its data folder is locked",
        "Another pod still has it, or the volume does not lock as a disk does (NFS): end the other, or move the data.",
        "https://github.com/prometheus/prometheus/issues/4761",
        0.88,
    ),
    Words(
        "W11",
        "data_broken",
        pattern(
            r"corruption in segment|segment [^\n]{0,60}(?:corrupt|checksum)|unexpected end of json input|"
            r"opening storage failed[^\n]{0,200}(?:block|meta\.json|invalid|corrupt|head)|"
            r"disk image is malformed|file is not a database|"
            r"found unsequential|invalid magic number|wal[^\n]{0,40}corrupt|failed to (?:load|"
            r"open)[^\n]{0,60}\b(?:wal|tsdb)\b"
        ),
        "Its data is broken",
        "Save the volume, then move the broken block or segment away; what it held is lost.",
        "https://prometheus.io/docs/prometheus/latest/storage/#operational-aspects",
        0.88,
    ),
    Words(
        "W10",
        "file_not_readable",
        pattern(
            r"(?:open|stat|read(?:ing)?|load(?:ing)?) [^\n]{0,60}(?:/etc/|/run/|/(?:tls|certs?|secrets?|config)/)"
            r"\S{1,200}: permission denied"
        ),
        "It may not read a file it needs",
        "Look at the file's mode (defaultMode of its Secret or ConfigMap) and at the user the container runs as.",
        "https://kubernetes.io/docs/tasks/inject-data-application/distribute-credentials-secure/#set-posix-permissions-for-secret-keys",
        0.85,
    ),
    Words(
        "W17",
        "data_not_writable",
        pattern(
            r"(?:open|mkdir|create|unlink|rename|write|chown)[^\n]{0,200}(?:permission denied|operation not permitted|"
            r"read-only file system)|unable to create mmap-ed active query log|errno 13|errno 30|eacces|"
            r"readonly database"
        ),
        "It may not write its data folder",
        "Give the volume to the user it runs as: fsGroup, or the export's owner.",
        "https://github.com/prometheus-operator/prometheus-operator/issues/3459",
        0.88,
    ),
    Words(
        "W16",
        "port_in_use",
        pattern(r"address already in use|eaddrinuse|errno 98|port \d{2,5} is already (?:in use|allocated)"),
        "Its port is taken",
        "Two containers of one pod, or two pods on the host's network, want the same port: give one another.",
        "https://kubernetes.io/docs/concepts/services-networking/",
        0.9,
    ),
    Words(
        "W16",
        "port_not_allowed",
        pattern(r"bind: permission denied|bind[^\n]{0,60}operation not permitted"),
        "It may not listen on its port",
        "A port below 1024 needs NET_BIND_SERVICE, or another number.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
        0.9,
    ),
    Words(
        "W14",
        "certificate_expired",
        pattern(
            r"certificate has expired|certificate is not yet valid|has expired or is not yet valid|"
            r"sslcertverificationerror[^\n]{0,120}expired|not_?after[^\n]{0,40}expired"
        ),
        "A certificate has expired",
        "Renew it; until then who checks it refuses the connection.",
        "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
        0.9,
    ),
    Words(
        "W14",
        "certificate_refused",
        pattern(
            r"x509: |ssl certificate problem|"
            r"certificate signed by unknown authority|certificate verify failed|unable to (?:verify|get local) "
            r"[^\n]{0,40}certificate|pkix path building failed|tls: failed to verify"
        ),
        "A certificate is not accepted",
        "Give it the CA of who it talks to, or that one a certificate for the name it is called by.",
        "https://kubernetes.io/docs/tasks/tls/managing-tls-in-a-cluster/",
        0.85,
    ),
    Words(
        "W12",
        "may_not_read_api",
        pattern(
            r"is forbidden: user \"?system:serviceaccount|cannot (?:list|watch|get|create|update|patch) resource|"
            r"forbidden[^\n]{0,60}serviceaccount"
        ),
        "It may not do what it needs in the cluster",
        "Its ClusterRole or the binding is gone or too small: restore it by a sync of its Application.",
        "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
        0.88,
    ),
    Words(
        "W24",
        "kind_not_installed",
        pattern(
            r"no matches for kind|the server could not find the requested resource|no kind is registered|"
            r"customresourcedefinition[^\n]{0,120}not found|failed to list \*?v\d[^\n]{0,120}could not find"
        ),
        "A kind it works with is not installed",
        "Install the CRDs of its version; a chart's upgrade does not do that by itself.",
        "https://github.com/prometheus-community/helm-charts/blob/main/charts/kube-prometheus-stack/UPGRADE.md",
        0.85,
    ),
    Words(
        "W13",
        "lease_lost",
        pattern(r"leader ?election lost|failed to renew lease|lost (?:the )?leader(?:ship| lease)"),
        "It lost its lease",
        "Once is nothing; again and again means that the API server or etcd is slow.",
        "https://kubernetes.io/docs/concepts/architecture/leases/",
        0.75,
    ),
    Words(
        "W13",
        "api_unreachable",
        pattern(
            r"(?:kubernetes\.default|/api/v1/namespaces|/apis/|10\.96\.0\.1|\b[\d.]{7,15}:(?:443|6443)\b)[^\n]{0,200}"
            r"(?:i/o timeout|connection refused|no route to host|network is unreachable|deadline exceeded|timed out)"
        ),
        "It does not reach the API server",
        "Look at the network of its node, at kube-proxy there, and at NetworkPolicies that hold its way out.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
        0.8,
    ),
    Words(
        "W10",
        "configuration_refused",
        pattern(
            r"error loading config|loading configuration file failed|couldn't load configuration|failed to (?:load|"
            r"parse|read|unmarshal)"
            r"[^\n]{0,120}(?:config|yaml|json|rules?|flags?|\.(?:ini|toml|conf|cfg)\b)|failure to provision|"
            r"(?:unset|undefined|missing) environment variable|environment variable [^\n]{1,80} (?:is )?not set|"
            r"yaml: (?:unmarshal|line)|parsing yaml file|"
            r"unknown (?:flag|field|"
            r"long flag|option|argument)|flag provided but not defined|invalid (?:config|argument|value|flag)|"
            r"undefined receiver|"
            r"bad_data|error parsing|parse error|provisioning error|unsupported scheme|yaml: |"
            r"error converting yaml|unexpected argument|unrecognized arguments|missing required"
        ),
        "It refuses its configuration",
        "Correct what the line names; going back to the values before it helps until then.",
        "https://prometheus.io/docs/prometheus/latest/configuration/configuration/",
        0.85,
    ),
    Words(
        "W7",
        "image_incomplete",
        pattern(
            r"cannot find module|modulenotfounderror|no module named|importerror|classnotfoundexception|"
            r"error while loading shared libraries|version `glibc|symbol not found"
        ),
        "Its image lacks what the program needs",
        "Use an image that was built for it, or go back to the one before.",
        "https://kubernetes.io/docs/concepts/containers/images/",
        0.85,
    ),
    Words(
        "W10",
        "file_missing",
        pattern(
            r"(?:open|stat|read(?:ing)?|load(?:ing)?)[^\n]{0,200}no such file or directory|enoent|filenotfounderror"
        ),
        "A file it needs is not there",
        "Look at what is mounted: a key of a Secret or ConfigMap, or a path in the values.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/",
        0.75,
    ),
    Words(
        "W15",
        "dns_silent",
        pattern(
            r"lookup [^\n]{1,200} on [\da-f.:\[\]]{3,45}:53: [^\n]{0,160}(?:timeout|refused|unreachable)|"
            r"resolving timed out|eai_again"
        ),
        "The cluster's DNS does not answer it",
        "Look at CoreDNS and its pods, and at NetworkPolicies that hold port 53 back.",
        "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
        0.8,
    ),
    Words(
        "W15",
        "name_not_resolved",
        pattern(
            r"no such host|could not resolve host|bad address '|"
            r"server misbehaving|temporary failure in name resolution|name or service not known|"
            r"getaddrinfo enotfound|could not translate host name|unknownhostexception"
        ),
        "A name it needs does not resolve",
        "Is the Service there, under this name and in this namespace? If it is, look at the cluster's DNS.",
        "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
        0.75,
    ),
    Words(
        "W15",
        "sign_in_refused",
        pattern(
            r"password authentication failed|access denied for user|authentication failed|invalid (?:username|"
            r"password)|"
            r"no pg_hba\.conf entry|permission denied for (?:database|schema|table|relation)|"
            r"noauth authentication required|wrongpass|login failed|401 unauthorized|"
            r"invalid credentials|access ?denied\\?[.\"]|invalidaccesskeyid|signaturedoesnotmatch"
        ),
        "What it depends on does not let it in",
        "Its password or key is not the one the other side knows, or has not the right: align the two.",
        "https://kubernetes.io/docs/concepts/configuration/secret/",
        0.75,
    ),
    Words(
        "W15",
        "dependency_refuses",
        pattern(
            r"too many (?:clients|connections)|remaining connection slots|database system is (?:starting|shutting)|"
            r"(?:database|schema|relation|table) [^\n]{1,80} does not exist|unknown database|\b(?:502|503|504) "
            r"(?:bad gateway|service unavailable|gateway time)|requested url returned error|server returned error: http"
        ),
        "What it depends on refuses to serve it",
        "Look at that service: it is starting, full, or lacks what is asked of it.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
        0.7,
    ),
    Words(
        "W15",
        "dependency_unreachable",
        pattern(
            r"(?:dial tcp|dial unix|connect(?:ing|ion)? to|could not connect|connectionerror|econnrefused|"
            r"connection to server|cannot connect|failed to connect)[^\n]{0,240}"
        ),
        "What it depends on does not answer",
        "Look at that Service and its pods, and at NetworkPolicies between the two.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
        0.7,
    ),
)
