#include "daemon/nethelper/sets.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

namespace capsul::nethelper {
namespace {

constexpr std::string_view table = "capsul";

struct SetName {
    std::uint8_t family;
    std::string_view name;
};

/// In the order of `Set`.
constexpr std::array<SetName, 8> set_names{{{NFPROTO_BRIDGE, "known4"},
                                            {NFPROTO_BRIDGE, "known6"},
                                            {NFPROTO_BRIDGE, "trunks"},
                                            {NFPROTO_INET, "full"},
                                            {NFPROTO_INET, "dns_icmp"},
                                            {NFPROTO_INET, "inside"},
                                            {NFPROTO_INET, "allow4"},
                                            {NFPROTO_INET, "allow6"}}};

const SetName& name_of(Set set) {
    return set_names[static_cast<std::size_t>(set)];
}

std::uint16_t type_of(unsigned message) {
    return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8U) | message);
}

nfgenmsg header_of(std::uint8_t family, std::uint16_t resource = 0) {
    return {family, NFNETLINK_V0, htons(resource)};
}

constexpr std::size_t mac_at = sizeof(Name);
constexpr std::size_t address_at = mac_at + 8;

/// Each part of a key begins at a multiple of four.
class KeyWriter {
  public:
    explicit KeyWriter(Element::Key& key) : key_(key) {}
    template <class T>
    KeyWriter& add(const T& part) {
        return add(bytes_of(part));
    }
    KeyWriter& add(Bytes part) {
        std::copy(part.begin(), part.end(), key_.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += aligned(part.size());
        return *this;
    }
    KeyWriter& add(const Address& address) {
        return add(std::as_bytes(std::span(address.bytes)).first(address.bits() / 8));
    }
    [[nodiscard]] std::uint8_t size() const { return static_cast<std::uint8_t>(size_); }

  private:
    Element::Key& key_;
    std::size_t size_ = 0;
};

void put_key(Messages& message, std::uint16_t type, const Element& element, const Element::Key& key) {
    message.nest(type, [&] { message.put(NFTA_DATA_VALUE, Bytes(key).first(element.size)); });
}

void put_element(Messages& message, unsigned type, unsigned flags, const Element& element) {
    const SetName& set = name_of(element.set);
    message.begin(type_of(type), flags, header_of(set.family));
    message.put(NFTA_SET_ELEM_LIST_TABLE, table);
    message.put(NFTA_SET_ELEM_LIST_SET, set.name);
    message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
        message.nest(NFTA_LIST_ELEM, [&] {
            put_key(message, NFTA_SET_ELEM_KEY, element, element.key);
            if (element.ranged) {
                put_key(message, NFTA_SET_ELEM_KEY_END, element, element.key_end);
            }
        });
    });
}

void put_batch_end(Messages& messages) {
    messages.begin(NFNL_MSG_BATCH_END, 0, header_of(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

Bytes read_key(Bytes element, std::uint16_t type) {
    return Attributes::find(Attributes::find(element, type).value, NFTA_DATA_VALUE).value;
}

Element read_element(Set set, Bytes attributes) {
    const Bytes key = read_key(attributes, NFTA_SET_ELEM_KEY);
    const Bytes key_end = read_key(attributes, NFTA_SET_ELEM_KEY_END);
    Element element;
    element.set = set;
    element.size = static_cast<std::uint8_t>(std::min(key.size(), element.key.size()));
    element.ranged = !key_end.empty();
    element.key = Attribute{0, key}.as<Element::Key>();
    element.key_end = Attribute{0, key_end}.as<Element::Key>();
    return element;
}

void read_elements(Set set, const Message& message, Array<Element>& elements) {
    Attributes all(Attributes::find(message.attributes<nfgenmsg>(), NFTA_SET_ELEM_LIST_ELEMENTS).value);
    for (Attribute one; all.next(one);) {
        elements.push_back(read_element(set, one.value));
    }
}

} // namespace

Name Element::interface() const {
    return {Attribute{0, key}.as<std::array<char, sizeof(Name)>>()};
}

Address Element::address() const {
    const std::uint8_t family = set == Set::known4 ? AF_INET : AF_INET6;
    return {family, Attribute{0, Bytes(key).subspan(address_at)}.as<std::array<std::uint8_t, 16>>()};
}

Element known(const Name& tap, const Mac& mac, const Address& address) {
    Element element;
    element.set = address.family == AF_INET ? Set::known4 : Set::known6;
    element.size = KeyWriter(element.key).add(tap).add(mac).add(address).size();
    return element;
}

Element only_name(Set set, const Name& interface) {
    Element element;
    element.set = set;
    element.size = KeyWriter(element.key).add(interface).size();
    return element;
}

Element inside(const Name& bridge) {
    Element element;
    element.set = Set::inside;
    element.size = KeyWriter(element.key).add(bridge).add(bridge).size();
    return element;
}

Element allowed(const Name& bridge, const Item& item) {
    const auto write = [&](Element::Key& key, const Address& address, std::uint8_t protocol,
                           std::uint16_t port) {
        return KeyWriter(key).add(bridge).add(address).add(protocol).add(htons(port)).size();
    };
    Element element;
    element.set = item.network.address.family == AF_INET ? Set::allow4 : Set::allow6;
    element.ranged = true;
    element.size = write(element.key, item.network.first(), item.protocol_first, item.port_first);
    write(element.key_end, item.network.last(), item.protocol_last, item.port_last);
    return element;
}

void die_without_tables() {
    die(Exit::kernel, "the nftables tables are not loaded: systemctl enable --now capsul-nft.service");
}

Sets::Sets() : netlink_(NETLINK_NETFILTER) {}

int Sets::list(std::span<const Set> sets, Array<Element>& elements) {
    elements.clear();
    for (const Set set : sets) {
        Messages question;
        question.begin(type_of(NFT_MSG_GETSETELEM), NLM_F_DUMP, header_of(name_of(set).family));
        question.put(NFTA_SET_ELEM_LIST_TABLE, table);
        question.put(NFTA_SET_ELEM_LIST_SET, name_of(set).name);
        netlink_.ask(question);
        for (Message message; netlink_.next(message);) {
            read_elements(set, message, elements);
        }
        if (netlink_.error() != 0) {
            // The last two: a kernel without nftables.
            const bool absent = netlink_.error() == EPROTONOSUPPORT || netlink_.error() == EINVAL;
            return absent ? ENOENT : netlink_.error();
        }
    }
    return 0;
}

std::uint32_t Sets::current_generation() {
    Messages question;
    question.begin(type_of(NFT_MSG_GETGEN), NLM_F_ACK, header_of(AF_UNSPEC));
    netlink_.ask(question);
    std::uint32_t generation = 0;
    for (Message message; netlink_.next(message);) {
        generation = Attributes::find(message.attributes<nfgenmsg>(), NFTA_GEN_ID).as<std::uint32_t>();
    }
    return generation;
}

int Sets::change(std::uint32_t generation, std::span<const Element> old, std::span<const Element> wanted) {
    if (old.empty() && wanted.empty()) {
        return 0;
    }
    Messages batch;
    batch.begin(NFNL_MSG_BATCH_BEGIN, 0, header_of(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    batch.put_value(NFNL_BATCH_GENID, generation);
    for (const Element& element : old) {
        put_element(batch, NFT_MSG_DELSETELEM, 0, element);
    }
    for (const Element& element : wanted) {
        put_element(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, element);
    }
    batch.acknowledge();
    put_batch_end(batch);
    return netlink_.run(batch);
}

int Sets::known_error(int error) {
    if (error != 0 && error != ENOENT && error != EEXIST && error != ENOTEMPTY) {
        die_errno(error, "the nftables sets cannot be changed");
    }
    return error == ENOTEMPTY ? EEXIST : error;
}

} // namespace capsul::nethelper
