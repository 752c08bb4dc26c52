// The host: what capsuld is, and whether this machine can do the work.
#pragma once

#include "lib/route.hpp"

#include <array>
#include <string>
#include <vector>

namespace capsul {

struct HostInfo {
    std::string version;
    std::string api = "v1";
    std::string user;

    static constexpr auto fields() {
        return field_list(required("version", &HostInfo::version), required("api", &HostInfo::api),
                          required("user", &HostInfo::user));
    }
};

struct HostShow {
    using Result = HostInfo;
    static constexpr Route route{Method::get, "/v1", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

enum class Severity { ok, warning, failure };
template <>
struct EnumWords<Severity> {
    static constexpr std::array<std::pair<Severity, std::string_view>, 3> words{
        {{Severity::ok, "ok"}, {Severity::warning, "warning"}, {Severity::failure, "failure"}}};
};

/// One thing that was looked at.
struct Finding {
    std::string check; ///< a stable word: "linger", "kvm" …
    Severity severity = Severity::ok;
    std::string message;
    std::string hint; ///< the command that mends it, or empty

    static constexpr auto fields() {
        return field_list(required("check", &Finding::check), required("severity", &Finding::severity),
                          required("message", &Finding::message), optional("hint", &Finding::hint));
    }
};

struct HostDoctor {
    using Result = std::vector<Finding>;
    static constexpr Route route{Method::get, "/v1/doctor", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

} // namespace capsul
