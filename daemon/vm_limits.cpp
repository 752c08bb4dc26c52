#include "daemon/vm_limits.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>

namespace capsul {
namespace {

constexpr std::uint64_t mib = 1U << 20U;
constexpr std::uint64_t sector = 512;

} // namespace

void check_memory(Bytes memory) {
    struct sysinfo host {};
    ::sysinfo(&host);
    const std::uint64_t total = std::uint64_t{host.totalram} * host.mem_unit;
    if (memory.count() < 16 * mib || memory.count() % mib != 0) {
        throw Error(ErrorCode::invalid, fmt::format("memory: {} is not possible", memory.to_string()),
                    "give at least 16M, in whole mebibytes; a Debian guest needs 256M");
    }
    if (memory.count() > total) {
        throw Error(ErrorCode::invalid, fmt::format("memory: {} is more than this host has ({})",
                                                    memory.to_string(), human_size(total)));
    }
}

void check_disk_size(const char* what, Bytes size, Bytes most) {
    if (size > most) {
        throw Error(
            ErrorCode::invalid,
            fmt::format("{}: {} is more than the limit, {}", what, size.to_string(), most.to_string()),
            "max_size under [image] in capsuld.toml is the limit");
    }
    if (size.count() % sector != 0 || size.count() < mib) {
        throw Error(ErrorCode::invalid, fmt::format("{}: {} is not possible", what, size.to_string()),
                    "give at least 1M, in whole sectors of 512 bytes");
    }
}

} // namespace capsul
