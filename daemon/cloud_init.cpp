#include "daemon/cloud_init.hpp"

#include "daemon/guest_identity.hpp"
#include "daemon/yaml.hpp"
#include "lib/base64.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t most_bytes = std::size_t{64} * 1024;

/// How cloud-init tells kinds of user-data apart, besides MIME.
constexpr std::array<std::string_view, 7> headers{
    "#cloud-config", "#!",           "#include",          "#cloud-boothook",
    "#part-handler", "#upstart-job", "## template: jinja"};
constexpr std::array<std::string_view, 3> mime_headers{"content-type:", "mime-version:", "from nobody"};

bool is_plain(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// The key without a comment that is not plain ASCII: a comment means nothing to the guest, and JSON and YAML
/// do not agree on every character.
std::string plain_key(const SshKey& key) {
    const std::string& line = key.to_string();
    return is_plain(line) ? line : line.substr(0, line.find(' ', line.find(' ') + 1));
}

// JSON is YAML: serialised, so that no value can become structure.
std::string as_yaml(const Json& json) {
    return dump_json(json, 2) + "\n";
}

std::string meta_data(const Seed& seed) {
    Json json{{"instance-id", seed.instance.to_string()}, {"local-hostname", seed.hostname.to_string()}};
    // Here and not in user-data, so that the image's default user gets them whatever the user-data says.
    for (const SshKey& key : seed.ssh_keys) {
        json["public-keys"].push_back(plain_key(key));
    }
    return as_yaml(json);
}

Json name_servers(const SeedNic& nic) {
    Json json = Json::object();
    if (!nic.dns.empty()) {
        json["addresses"] = encode(nic.dns);
    }
    if (!nic.search.empty()) {
        json["search"] = nic.search;
    }
    return json;
}

/// No dhcp6: a network with IPv6 announces its prefix by router advertisement, and a DHCPv6 client that
/// waits for an address there would hold up the boot.
/// Not `routes`: cloud-init 22.4 loses ::/0 among them for systemd-networkd.
Json ethernet(const SeedNic& nic, bool new_identity) {
    Json json{{"match", {{"macaddress", nic.mac.to_string()}}}};
    if (nic.mtu) {
        json["mtu"] = *nic.mtu;
    }
    if (nic.addresses.empty()) {
        json["dhcp4"] = true;
        if (new_identity) { // a server would take it for the other machine until it has a machine-id of its
                            // own
            json["dhcp-identifier"] = "mac";
        }
        return json;
    }
    json["addresses"] = nic.addresses;
    for (const IpAddress& gateway : nic.gateways) {
        json[gateway.is_ipv6() ? "gateway6" : "gateway4"] = gateway.to_string();
    }
    if (Json servers = name_servers(nic); !servers.empty()) {
        json["nameservers"] = std::move(servers);
    }
    return json;
}

/// Network config version 2.
std::string network_config(const Seed& seed) {
    Json json{{"version", 2}, {"ethernets", Json::object()}};
    for (std::size_t i = 0; i < seed.nics.size(); ++i) {
        json["ethernets"][fmt::format("nic{}", i)] = ethernet(seed.nics[i], seed.new_identity);
    }
    return as_yaml(json);
}

std::string in_lines(std::string_view text) {
    constexpr std::size_t width = 76;
    std::string lines;
    for (; !text.empty(); text.remove_prefix(std::min(width, text.size()))) {
        lines.append(text.substr(0, width)).append("\n");
    }
    return lines;
}

/// The init script goes into vendor-data: user-data stays what the user gave, to the byte, and no list in it
/// (runcmd, write_files) replaces one of ours. cloud-init runs such a script once per instance and reports
/// its failure. It is wrapped, since cloud-init alters line ends, and leaves the output to whatever the image
/// configured. (A MIME message of one part is what gives it a name in cloud-init's reports.)
std::string vendor_data(std::string_view init_script) {
    return fmt::format(R"(Content-Type: text/x-shellscript; charset="us-ascii"
MIME-Version: 1.0
Content-Disposition: attachment; filename="capsul-init-script"

#!/bin/sh
# Written by capsul: runs the VM's init script. Its output: journalctl -t capsul-init
set -eu
umask 077
mkdir -p /var/lib/capsul
base64 -d >/var/lib/capsul/init-script <<'END_OF_SCRIPT'
{}END_OF_SCRIPT
chmod 0700 /var/lib/capsul/init-script
if [ -S /run/systemd/journal/stdout ]; then
    exec systemd-cat -t capsul-init /var/lib/capsul/init-script
fi
exec /var/lib/capsul/init-script
)",
                       in_lines(base64_encode(init_script)));
}

void check_text(std::string_view text, const char* what) {
    if (text.size() > most_bytes) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the {} has {} bytes, more than {}", what, text.size(), most_bytes),
                    "let it fetch the rest from inside the guest");
    }
    if (text.find('\0') != std::string_view::npos) {
        throw Error(ErrorCode::invalid, fmt::format("the {} has a NUL byte: it is not text", what));
    }
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

/// cloud-init takes a MIME message only when it finds this header early.
bool is_mime(std::string_view text) {
    const std::string beginning = lower(text.substr(0, 4096));
    return std::ranges::any_of(mime_headers, [&](auto header) { return beginning.starts_with(header); }) &&
           beginning.find("mime-version:") != std::string::npos;
}

/// "#cloud-config" itself, not "#cloud-config-archive" and the like.
bool is_cloud_config(std::string_view text) {
    constexpr std::string_view header = "#cloud-config";
    return text.starts_with(header) && (text.size() == header.size() || text[header.size()] == '\n' ||
                                        text[header.size()] == '\r' || text[header.size()] == ' ');
}

} // namespace

std::map<std::string, std::string> seed_files(const Seed& seed) {
    std::map<std::string, std::string> files{{"meta-data", meta_data(seed)},
                                             {"user-data", seed.user_data.value_or("#cloud-config\n{}\n")},
                                             {"network-config", network_config(seed)}};
    const std::string vendor = seed.init_script ? vendor_data(*seed.init_script) : "";
    if (seed.init_script || seed.new_identity) {
        files.emplace("vendor-data", seed.new_identity ? with_new_identity(vendor) : vendor);
    }
    return files;
}

std::map<std::string, std::string> seed_files_of_copy(const std::map<std::string, std::string>& original,
                                                      Seed seed) {
    const auto described = original.find("meta-data");
    if (described == original.end() || !original.contains("user-data")) {
        throw Error(ErrorCode::invalid, "its seed image lacks meta-data or user-data");
    }
    const Json meta = parse_json(described->second);
    if (!meta.is_object()) {
        throw Error(ErrorCode::invalid, "its seed image has meta-data that are no object");
    }
    seed.ssh_keys = decode<std::vector<SshKey>>(meta.value("public-keys", Json::array()), "public-keys");
    seed.user_data = original.at("user-data");
    seed.init_script.reset();
    const auto vendor = original.find("vendor-data");
    seed.new_identity = seed.new_identity || (vendor != original.end() && has_new_identity(vendor->second));
    std::map<std::string, std::string> files = seed_files(seed);
    if (vendor != original.end()) {
        files["vendor-data"] = seed.new_identity ? with_new_identity(vendor->second) : vendor->second;
    }
    return files;
}

void check_user_data(std::string_view user_data) {
    if (user_data.starts_with("\x1f\x8b")) {
        throw Error(ErrorCode::invalid, "the user-data is compressed", "give it as plain text");
    }
    check_text(user_data, "user-data");
    const bool known =
        std::ranges::any_of(headers, [&](auto header) { return user_data.starts_with(header); });
    if (!known && !is_mime(user_data)) {
        throw Error(
            ErrorCode::invalid, "the user-data is nothing that cloud-init knows",
            "its first line must be #cloud-config, #! and an interpreter, or another header of cloud-init's");
    }
    if (is_cloud_config(user_data)) {
        check_yaml_mapping(user_data, "user-data");
    }
}

void check_init_script(std::string_view script) {
    check_text(script, "init script");
    if (!script.starts_with("#!")) {
        throw Error(ErrorCode::invalid, "the init script does not say what runs it",
                    "its first line must be #! and an interpreter, such as #!/bin/sh");
    }
}

} // namespace capsul
