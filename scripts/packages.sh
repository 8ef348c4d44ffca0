# Debian packages, for other scripts: they source this file.

# can_install: packages can be installed, as root on Debian.
can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# install_packages WHO PACKAGE...: installs packages, or fails and says that WHO (plural) need them.
install_packages() {
	local who=$1
	shift
	if ! can_install; then
		echo "$who need $*; on Debian: apt-get install $*" >&2
		exit 1
	fi
	echo "installing $*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
