#include "daemon/peer/measurement.hpp"

#include <chrono>
#include <string>

namespace capsul::peer {
namespace {

using namespace std::chrono_literals;

constexpr auto duration = 2s;
constexpr std::size_t chunk_size = std::size_t{1} << 16U;

/// The empty message is the end. Returns how many bytes there were before it.
std::size_t send_for_a_while(TlsChannel& channel, Deadline deadline) {
    const std::string chunk(chunk_size, '\0');
    std::size_t sent = 0;
    for (const Deadline end = within(duration); within({}) < end; sent += chunk.size()) {
        channel.send(chunk, deadline);
    }
    channel.send("", deadline);
    return sent;
}

std::size_t receive_to_the_end(TlsChannel& channel, Deadline deadline) {
    std::size_t received = 0;
    for (;;) {
        const std::size_t size = channel.receive(chunk_size, deadline).size();
        if (size == 0) {
            return received;
        }
        received += size;
    }
}

double megabits_a_second(std::size_t bytes, Deadline begin) {
    return 8e-6 * static_cast<double>(bytes) / std::chrono::duration<double>(within({}) - begin).count();
}

} // namespace

void serve_measurement(TlsChannel& channel, Deadline deadline) {
    send_for_a_while(channel, deadline);
    receive_to_the_end(channel, deadline);
    channel.send("", deadline);
}

Throughput measure(TlsChannel& channel, Deadline deadline) {
    Throughput found;
    Deadline begin = within({});
    channel.send(measure_request, deadline);
    found.download = megabits_a_second(receive_to_the_end(channel, deadline), begin);
    begin = within({});
    const std::size_t sent = send_for_a_while(channel, deadline);
    (void)channel.receive(0, deadline); // all of it has come
    found.upload = megabits_a_second(sent, begin);
    return found;
}

} // namespace capsul::peer
