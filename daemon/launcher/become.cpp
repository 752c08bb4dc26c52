#include "daemon/launcher/become.hpp"

#include <cerrno>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {

void become(std::vector<std::string> command) {
    std::vector<char*> argv;
    for (std::string& word : command) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    char* const environment = nullptr;
    ::execve(argv.front(), argv.data(), &environment);
    throw std::system_error(errno, std::generic_category(), command.front());
}

} // namespace capsul::launcher
