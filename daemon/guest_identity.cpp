#include "daemon/guest_identity.hpp"

#include "daemon/digest.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

// A boothook, since cloud-init runs those before it sets anything up, and since no list in user-data replaces
// them; but in each boot (cloudinit/handlers/boot_hook.py). By then the network is up, with what the copied
// machine-id makes of the names by which systemd-networkd asks for addresses.
//
// What was begun is marked before the first change, so that a full disk is noticed in time, and what is done
// is on the disk before cloud-init makes keys: they are never taken away from an instance that has its own.
constexpr std::string_view script = R"sh(#!/bin/sh
# Written by capsul: this machine is a copy of another, and gets an identity of its own, once for each instance.
set -u
mark=/var/lib/capsul/identity
[ "$(cat "$mark" 2>/dev/null)" != "$INSTANCE_ID" ] || exit 0
mkdir -p /var/lib/capsul && echo "$INSTANCE_ID" >"$mark.new" || exit 1

# Where /etc/machine-id is a mount, systemd has made a new one for this boot.
old=$(cat /etc/machine-id 2>/dev/null)
rm -f /etc/machine-id /var/lib/dbus/machine-id
if ! systemd-machine-id-setup; then
    tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    chmod 0444 /etc/machine-id
fi
if [ -d /var/lib/dbus ]; then
    ln -sf /etc/machine-id /var/lib/dbus/machine-id
fi
if command -v restorecon >/dev/null; then
    restorecon /etc/machine-id
fi

# cloud-init makes ssh host keys later in this boot, unless it has done so for this instance.
if [ ! -e /var/lib/cloud/instance/sem/config_ssh ]; then
    rm -f /etc/ssh/ssh_host_*key*
fi
for instance in /var/lib/cloud/instances/*; do
    [ "${instance##*/}" = "$INSTANCE_ID" ] || rm -rf "$instance"
done

# Logs that are open stay open.
find /var/log -xdev -type f ! -path '/var/log/journal/*' \
    \( -name '*.gz' -o -name '*.xz' -o -name '*.zst' -o -name '*.[0-9]' -o -name '*.old' \) -exec rm -f {} +
find /var/log -xdev -type f ! -path '/var/log/journal/*' -exec truncate -s 0 {} +
if command -v systemctl >/dev/null; then
    timeout 60 systemctl try-restart systemd-journald.service
fi
if [ -n "$old" ] && [ "$old" != "$(cat /etc/machine-id)" ]; then
    rm -rf "/var/log/journal/$old"
fi

# systemd-networkd asks for addresses by the machine-id, unless it is told to use the MAC address.
rm -f /var/lib/dhcp/*.lease* /var/lib/dhclient/*.lease* /var/lib/dhcpcd/* /var/lib/NetworkManager/*.lease*
if grep -qs '^CLIENTID=ff' /run/systemd/netif/leases/*; then
    timeout 60 systemctl try-restart systemd-networkd.service systemd-networkd-wait-online.service
fi

mv "$mark.new" "$mark"
sync
)sh";

std::string boothook() {
    return fmt::format(R"(Content-Type: text/cloud-boothook; charset="us-ascii"
MIME-Version: 1.0
Content-Disposition: attachment; filename="capsul-identity"

{})",
                       script);
}

} // namespace

std::string_view identity_script() {
    return script;
}

bool has_new_identity(std::string_view vendor_data) {
    return vendor_data.find("filename=\"capsul-identity\"") != std::string_view::npos;
}

// `others` may be such a message too, of another version of capsul's: so its boundary is another. Of two such
// scripts the second finds that all is done.
std::string with_new_identity(const std::string& others) {
    const std::string hook = boothook();
    if (others.find(hook) != std::string::npos) {
        return others;
    }
    const std::string boundary = "capsul-" + sha256_hex(others).substr(0, 16);
    std::string message = fmt::format(
        "Content-Type: multipart/mixed; boundary=\"{0}\"\nMIME-Version: 1.0\n\n--{0}\n{1}", boundary, hook);
    if (!others.empty()) {
        message += fmt::format("--{}\n{}\n", boundary, others);
    }
    return message + fmt::format("--{}--\n", boundary);
}

} // namespace capsul
