// Package verify checks what is in deploy/ as far as that goes without a
// cluster: the Kubernetes manifests against Kubernetes' own types, the systemd
// units, the compose files, the rules and the dashboard against the built programs. It is a
// module of its own so that nothing else depends on Kubernetes.
//
//	make test-deploy
package verify
