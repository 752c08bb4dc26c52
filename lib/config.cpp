#include "lib/config.hpp"

#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

/// A file that others may change would let them give orders to the daemon.
void check_owner(const fs::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
        throw_errno(errno, file.string());
    }
    const bool ours = status.st_uid == 0 || status.st_uid == ::geteuid();
    if (!ours || (status.st_mode & 022U) != 0) {
        throw Error(ErrorCode::denied, file.string() + ": others than you and root may write it",
                    "chmod go-w " + file.string() + " and check its owner");
    }
}

/// Of things that each have a name of their own.
bool is_list_of_named(const Json& list) {
    std::set<std::string> names;
    return list.is_array() && !list.empty() && std::ranges::all_of(list, [&](const Json& item) {
               return item.is_object() && item.contains("name") && item["name"].is_string() &&
                      names.insert(item["name"].get<std::string>()).second;
           });
}

void overlay(Json& base, const Json& top);

/// Each of `top` over the one of its name, or behind the others.
void overlay_named(Json& base, const Json& top) {
    for (const Json& item : top) {
        const auto same =
            std::ranges::find_if(base, [&](const Json& other) { return other["name"] == item["name"]; });
        if (same == base.end()) {
            base.push_back(item);
        } else {
            overlay(*same, item);
        }
    }
}

void overlay(Json& base, const Json& top) {
    for (const auto& [key, value] : top.items()) {
        if (value.is_object() && base.contains(key) && base[key].is_object()) {
            overlay(base[key], value);
        } else if (base.contains(key) && is_list_of_named(base[key]) && is_list_of_named(value)) {
            overlay_named(base[key], value);
        } else {
            base[key] = value;
        }
    }
}

void refuse_twins(const std::vector<ImageSourceConfig>& sources, const fs::path& file) {
    std::set<Name> seen;
    for (const ImageSourceConfig& source : sources) {
        if (!seen.insert(source.name).second) {
            throw Error(ErrorCode::invalid, fmt::format("{}: image.source: '{}' stands twice", file.string(),
                                                        source.name.to_string()));
        }
    }
}

/// `where`: the files that the values are from.
void check_ranges(const Config& config, const std::string& where) {
    const auto bounded = [&](const char* key, int value, int high) {
        if (value < 1 || value > high) {
            throw Error(ErrorCode::invalid,
                        fmt::format("{}: {}: {} is not between 1 and {}", where, key, value, high));
        }
    };
    bounded("vm.ssh_port_last", config.vm.ssh_port_last, 65535);
    bounded("vm.ssh_port_first", config.vm.ssh_port_first, config.vm.ssh_port_last);
    bounded("vpn.port_last", config.vpn.port_last, 65535);
    bounded("vpn.port_first", config.vpn.port_first, config.vpn.port_last);
    bounded("server.threads", config.server.threads, 64);
    bounded("server.connections", config.server.connections, 4096);
    bounded("server.connections_per_user", config.server.connections_per_user, 4096);
}

} // namespace

Config load_config_files(const std::vector<fs::path>& files) {
    Json merged = Json::object();
    std::string where;
    for (const fs::path& file : files) {
        if (!fs::exists(file)) {
            continue;
        }
        check_owner(file);
        where += (where.empty() ? "" : ", ") + file.string();
        // Judged one by one, so that an error names the file and line it is in.
        refuse_twins(load_toml<Config>(file).image.source, file);
        overlay(merged, toml_to_json(read_file(file), file.string()));
    }
    auto config = decode<Config>(merged);
    check_ranges(config, where);
    return config;
}

Config load_config(const Paths& paths) {
    return load_config_files({"/etc/capsul/capsuld.toml", paths.config / "capsuld.toml"});
}

} // namespace capsul
