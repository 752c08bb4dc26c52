// Any bytes as the start of a VMDK, and as the manifest of an OVA: judged, or refused with an Error.
#include "daemon/unpack/manifest.hpp"
#include "daemon/vmdk_header.hpp"
#include "lib/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    try {
        capsul::check_vmdk_header("KDMV" + std::string(bytes), std::uint64_t{1} << 41U);
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
    try {
        static_cast<void>(capsul::unpack::parse_manifest(bytes));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    return 0;
}
