// A guest agent that says what a test wants.
#pragma once

#include "lib/fields.hpp"
#include "tests/integration/fake_peer.hpp"

namespace capsul::test {

/// Reads a command; a null when the client has gone. What comes before a JSON object (0xFF) is skipped.
inline Json read_command(Peer& peer) {
    const std::string line = peer.read_line();
    const std::size_t begin = line.find('{');
    return begin == std::string::npos ? Json() : Json::parse(line.substr(begin));
}

inline void answer(Peer& peer, const Json& value) {
    peer.send(Json{{"return", value}}.dump() + "\n");
}

inline void refuse(Peer& peer, const std::string& words, const std::string& error_class = "GenericError") {
    peer.send(Json{{"error", {{"class", error_class}, {"desc", words}}}}.dump() + "\n");
}

inline void synchronise(Peer& peer) {
    const Json command = read_command(peer);
    if (command.is_object()) {
        peer.send("\xFF" + Json{{"return", command["arguments"]["id"]}}.dump() + "\n");
    }
}

/// For FakePeer: synchronises and hands every command to `handle`.
inline std::function<void(Peer&)> agent_script(std::function<void(Peer&, const Json&)> handle) {
    return [handle = std::move(handle)](Peer& peer) {
        synchronise(peer);
        for (Json command = read_command(peer); command.is_object(); command = read_command(peer)) {
            if (command["execute"] == "guest-sync-delimited") {
                peer.send("\xFF");
                answer(peer, command["arguments"]["id"]);
            } else {
                handle(peer, command);
            }
        }
    };
}

} // namespace capsul::test
