// Any bytes as a frame between guests and a DHCP server: at most a request or an answer, and never both.
#include "daemon/dhcp/frames.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace capsul::dhcp;
    const Server server{{2, 0, 0, 0, 0xff, 1}, Ip4{10, 80, 0, 1}, Ip6{0xfe, 0x80}};
    const Frame frame(data, size);
    if (is_request(frame, server) && is_answer(frame, server)) {
        std::abort();
    }
    const auto question = introduction(frame, server);
    if (!question.empty() && (is_request(question, server) || is_answer(question, server))) {
        std::abort();
    }
    return 0;
}
