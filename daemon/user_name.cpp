#include "daemon/user_name.hpp"

#include <array>
#include <pwd.h>
#include <unistd.h>

namespace capsul {

std::string user_name() {
    std::array<char, 4096> space{};
    passwd entry{};
    passwd* found = nullptr;
    ::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found);
    return found == nullptr ? std::to_string(::geteuid()) : std::string(found->pw_name);
}

} // namespace capsul
