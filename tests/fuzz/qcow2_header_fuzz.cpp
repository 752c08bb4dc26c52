// Any bytes as the start of an image: judged, or refused with an Error.
#include "daemon/image_format.hpp"
#include "daemon/qcow2_header.hpp"
#include "lib/error.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    constexpr std::uint64_t max_size = std::uint64_t{1} << 41U;
    try {
        const capsul::Qcow2Header header =
            capsul::check_qcow2_header(bytes, std::uint64_t{1} << 30U, max_size);
        if (header.virtual_size == 0 || header.virtual_size > max_size) {
            std::abort();
        }
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
    try {
        static_cast<void>(capsul::own_qcow2_base(bytes));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    try {
        static_cast<void>(capsul::recognise_image(bytes, bytes));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    return 0;
}
