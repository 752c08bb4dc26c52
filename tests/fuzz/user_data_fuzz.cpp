// Any bytes as user-data and as an init script: accepted, or refused with an Error.
#include "daemon/cloud_init.hpp"
#include "lib/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const std::string& user_data : {std::string(text), "#cloud-config\n" + std::string(text)}) {
        try {
            capsul::check_user_data(user_data);
        } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
        }
    }
    try {
        capsul::check_init_script(text);
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    return 0;
}
