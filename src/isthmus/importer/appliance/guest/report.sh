# Tell the importer what happens: JSON lines on file descriptor 3 (the serial port), each {"isthmus":KIND,...}.
# Sourced on both sides of the chroot. No program is started here: a fork costs milliseconds under emulation.

uptime_now() { # sets UP to the seconds since the appliance's kernel started
	UP=0
	if [ -r /proc/uptime ]; then read -r UP _ </proc/uptime
	elif [ -r /dev/isthmus/uptime ]; then read -r UP _ </dev/isthmus/uptime; fi
}

quote() { # sets QUOTED to $1 as the inside of a JSON string; what is not printable ASCII becomes "?"
	QUOTED=$1
	case $QUOTED in
	*[!\ -~]*) QUOTED=$(printf %s "$QUOTED" | LC_ALL=C tr -c ' -~' '?') ;;
	esac
	QUOTED=${QUOTED//\\/\\\\}
	QUOTED=${QUOTED//\"/\\\"}
}

event() { # KIND [KEY VALUE]...
	uptime_now
	LINE="{\"isthmus\":\"$1\",\"seconds\":$UP"
	shift
	while [ $# -ge 2 ]; do
		quote "$2"
		LINE="$LINE,\"$1\":\"$QUOTED\""
		shift 2
	done
	printf '%s}\r\n' "$LINE" >&3
}

warn() { # a thing that a person should know; the conversion goes on
	event warning message "$1"
}

unsupported() { # this guest is not one of ours: nothing was changed, another converter should do it
	event verdict verdict unsupported reason "$1"
	exit 2
}

die() { # the conversion failed on the way: the disk may be half changed, and running again is safe
	event verdict verdict failed reason "$1"
	exit 1
}
