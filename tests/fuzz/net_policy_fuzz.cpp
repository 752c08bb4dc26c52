// Any bytes as a policy: refused, or such that its rules hold together.
#include "daemon/nethelper/policy.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

using namespace capsul::nethelper;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void check_prefixes(const Policy& policy) {
    for (const Rule& rule : policy) {
        const Name* prefix = policy.prefix_of(rule.uid);
        require(rule.uid != 0 && prefix != nullptr && prefix->view().starts_with("cap"));
        for (const Rule& other : policy) {
            const Name* others = policy.prefix_of(other.uid);
            require(other.uid == rule.uid || !others->starts_with(*prefix));
        }
    }
}

void check_rule(const Policy& policy, const Rule& rule) {
    require(!rule.line.empty() && rule.line.find('\n') == std::string_view::npos);
    if (rule.grant == Grant::tap || rule.grant == Grant::bridge) {
        require(policy.quota(rule.uid, rule.grant, rule.where.view()) == rule.number);
    }
    if (rule.grant == Grant::ip || rule.grant == Grant::subnet) {
        require(policy.covers(rule.uid, rule.grant, rule.where.view(), rule.network));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Policy policy;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto problem = policy.parse(text)) {
        require(problem->what != nullptr);
        return 0;
    }
    require(size > 0 && text.back() == '\n' && text.find('\0') == std::string_view::npos);
    check_prefixes(policy);
    for (const Rule& rule : policy) {
        check_rule(policy, rule);
    }
    return 0;
}
