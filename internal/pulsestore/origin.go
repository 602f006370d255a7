// SPDX-License-Identifier: Apache-2.0

package pulsestore

// Origin is what a row says of the process that was observed, and of where it runs. Every table of
// observations has its columns.
type Origin struct {
	Environment      string
	ServiceName      string
	ServiceNamespace string
	HostID           string
	HostName         string
	PID              uint32
	Executable       string // path
	User             string
	ContainerID      string
	PodUID           string
	PodName          string
	K8sNamespace     string
	K8sNode          string
	K8sContainer     string
	K8sDeployment    string
}

type originColumns struct {
	environment, serviceName, serviceNamespace, hostID, hostName []string
	pid                                                          []uint32
	executable, user, containerID, podUID                        []string
	podName, k8sNamespace, k8sNode, k8sContainer, k8sDeployment  []string
}

func (c *originColumns) add(p *Origin) {
	c.environment = append(c.environment, p.Environment)
	c.serviceName = append(c.serviceName, p.ServiceName)
	c.serviceNamespace = append(c.serviceNamespace, p.ServiceNamespace)
	c.hostID = append(c.hostID, p.HostID)
	c.hostName = append(c.hostName, p.HostName)
	c.pid = append(c.pid, p.PID)
	c.executable = append(c.executable, p.Executable)
	c.user = append(c.user, p.User)
	c.containerID = append(c.containerID, p.ContainerID)
	c.podUID = append(c.podUID, p.PodUID)
	c.podName = append(c.podName, p.PodName)
	c.k8sNamespace = append(c.k8sNamespace, p.K8sNamespace)
	c.k8sNode = append(c.k8sNode, p.K8sNode)
	c.k8sContainer = append(c.k8sContainer, p.K8sContainer)
	c.k8sDeployment = append(c.k8sDeployment, p.K8sDeployment)
}

func (c *originColumns) columns() []column {
	return []column{
		{"environment", "String", &c.environment},
		{"service_name", "String", &c.serviceName},
		{"service_namespace", "String", &c.serviceNamespace},
		{"host_id", "String", &c.hostID},
		{"host_name", "String", &c.hostName},
		{"pid", "UInt32", &c.pid},
		{"executable", "String", &c.executable},
		{"user", "String", &c.user},
		{"container_id", "String", &c.containerID},
		{"pod_uid", "String", &c.podUID},
		{"pod_name", "String", &c.podName},
		{"k8s_namespace", "String", &c.k8sNamespace},
		{"k8s_node", "String", &c.k8sNode},
		{"k8s_container", "String", &c.k8sContainer},
		{"k8s_deployment", "String", &c.k8sDeployment},
	}
}

// originSelect names the columns that scan reads, in its order.
const originSelect = "environment, service_name, service_namespace, host_id, host_name, pid, executable, user, container_id, pod_uid, " +
	"pod_name, k8s_namespace, k8s_node, k8s_container, k8s_deployment, "

// scanOrigin returns where a row's columns of originSelect go.
func (p *Origin) scanOrigin() []any {
	return []any{
		&p.Environment, &p.ServiceName, &p.ServiceNamespace, &p.HostID, &p.HostName, &p.PID, &p.Executable, &p.User, &p.ContainerID, &p.PodUID,
		&p.PodName, &p.K8sNamespace, &p.K8sNode, &p.K8sContainer, &p.K8sDeployment,
	}
}
