#include "models/hardware/topology.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "sim/core/check.h"

namespace sparseserve::hardware {
namespace {

// One edge of the graph. A byte on it uses one of the directions and the sum.
struct Link {
  std::string name;
  double h2d = 0;   // B/s
  double d2h = 0;   // B/s
  double both = 0;  // B/s, sum of the directions
  double touches_per_byte = 1;
};

using Graph =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property, Link>;
using Vertex = Graph::vertex_descriptor;

struct HostGraph {
  Graph graph;
  std::vector<Vertex> gpus;
  std::vector<Vertex> dram_of_gpu;
};

Link MakePcie(const HostLink& link, const std::string& name) {
  const double sum = link.duplex_bandwidth.value() > 0
                         ? link.duplex_bandwidth.value()
                         : (link.h2d_bandwidth + link.d2h_bandwidth).value();
  return {name, link.h2d_bandwidth.value(), link.d2h_bandwidth.value(), sum};
}

Link MakeDram(const Machine& machine, double touches_per_byte) {
  const Host& host = machine.host;
  const BytesPerSecond all =
      host.dram_reached_bandwidth.value() > 0 ? host.dram_reached_bandwidth : host.dram_bandwidth;
  const double socket = all.value() / static_cast<double>(host.num_sockets);
  return {"host DRAM", socket, socket, socket, touches_per_byte};
}

HostGraph BuildGraph(const Machine& machine, double dram_touches_per_byte) {
  HostGraph host;
  const std::int64_t gpus_per_socket = CeilDiv(machine.num_gpus, machine.host.num_sockets);
  Vertex dram = 0, root_complex = 0, parent = 0;
  for (std::int64_t i = 0; i < machine.num_gpus; ++i) {
    const std::int64_t on_socket = i % gpus_per_socket;
    if (on_socket == 0) {
      dram = boost::add_vertex(host.graph);
      root_complex = boost::add_vertex(host.graph);
      boost::add_edge(root_complex, dram, MakeDram(machine, dram_touches_per_byte), host.graph);
    }
    if (machine.gpus_per_switch == 1) {
      parent = root_complex;
    } else if (on_socket % machine.gpus_per_switch == 0) {
      parent = boost::add_vertex(host.graph);
      boost::add_edge(parent, root_complex, MakePcie(machine.link, "switch uplink"), host.graph);
    }
    host.gpus.push_back(boost::add_vertex(host.graph));
    host.dram_of_gpu.push_back(dram);
    boost::add_edge(host.gpus.back(), parent, MakePcie(machine.link, machine.link.name),
                    host.graph);
  }
  return host;
}

struct Transfer {
  std::size_t gpu = 0;
  bool is_load = false;
};

// One capacity of a link (a direction, or the sum) and how much of it a byte of each transfer
// takes.
struct Resource {
  std::string name;
  double capacity = 0;
  std::vector<double> weight;  // by transfer
};

// The edges from `gpu` to `dram` are a path of a tree: breadth-first predecessors from `dram`.
std::vector<Graph::edge_descriptor> PathToDram(const Graph& graph, Vertex gpu, Vertex dram) {
  std::vector<Vertex> predecessor(boost::num_vertices(graph));
  for (Vertex v = 0; v < predecessor.size(); ++v) predecessor[v] = v;
  boost::breadth_first_search(graph, dram,
                              boost::visitor(boost::make_bfs_visitor(boost::record_predecessors(
                                  predecessor.data(), boost::on_tree_edge()))));
  std::vector<Graph::edge_descriptor> path;
  for (Vertex v = gpu; v != dram; v = predecessor[v]) {
    const auto [edge, found] = boost::edge(v, predecessor[v], graph);
    SPARSESERVE_CHECK(found && predecessor[v] != v, "a GPU has no way to its DRAM");
    path.push_back(edge);
  }
  return path;
}

struct Share {
  std::vector<double> rate;             // by transfer
  std::vector<std::string> bottleneck;  // by transfer
};

// Progressive filling: raises all open transfers together to the next full resource.
Share FillMaxMin(std::vector<Resource> resources, std::size_t num_transfers) {
  Share share{std::vector<double>(num_transfers, 0), std::vector<std::string>(num_transfers)};
  std::vector<bool> open(num_transfers, true);
  std::size_t num_open = num_transfers;
  while (num_open > 0) {
    double step = std::numeric_limits<double>::infinity();
    const Resource* full = nullptr;
    for (const Resource& resource : resources) {
      double demand = 0;
      for (std::size_t t = 0; t < num_transfers; ++t) demand += open[t] ? resource.weight[t] : 0;
      // On a tie the resource nearest to the GPU is named: they were added in this order.
      if (demand > 0 && resource.capacity / demand < step) {
        step = resource.capacity / demand;
        full = &resource;
      }
    }
    SPARSESERVE_CHECK(full != nullptr, "a transfer uses no resource");
    const std::size_t full_index = static_cast<std::size_t>(full - resources.data());
    for (std::size_t t = 0; t < num_transfers; ++t) {
      if (!open[t]) continue;
      share.rate[t] += step;
      for (Resource& resource : resources) {
        resource.capacity = std::max(0.0, resource.capacity - step * resource.weight[t]);
      }
    }
    for (std::size_t t = 0; t < num_transfers; ++t) {
      if (!open[t] || resources[full_index].weight[t] == 0) continue;
      open[t] = false;
      --num_open;
      share.bottleneck[t] = resources[full_index].name;
    }
  }
  return share;
}

// The capacities that the transfers meet, those nearest to the GPUs first.
std::vector<Resource> CollectResources(const HostGraph& host,
                                       const std::vector<Transfer>& transfers) {
  std::vector<Resource> resources;
  std::map<std::pair<Vertex, Vertex>, std::size_t> first_of_link;
  for (std::size_t t = 0; t < transfers.size(); ++t) {
    const std::size_t gpu = transfers[t].gpu;
    for (const auto& edge : PathToDram(host.graph, host.gpus[gpu], host.dram_of_gpu[gpu])) {
      const Link& link = host.graph[edge];
      const std::pair<Vertex, Vertex> ends =
          std::minmax(boost::source(edge, host.graph), boost::target(edge, host.graph));
      const auto [known, is_new] = first_of_link.try_emplace(ends, resources.size());
      if (is_new) {
        for (const double capacity : {link.h2d, link.d2h, link.both}) {
          resources.push_back({link.name, capacity, std::vector<double>(transfers.size(), 0)});
        }
      }
      Resource* of_link = &resources[known->second];
      of_link[transfers[t].is_load ? 0 : 1].weight[t] = link.touches_per_byte;
      of_link[2].weight[t] = link.touches_per_byte;
    }
  }
  return resources;
}

}  // namespace

SharedBandwidth ShareHostLinks(const Machine& machine, std::int64_t active_gpus,
                               double dram_touches_per_byte, Transfers transfers) {
  SPARSESERVE_CHECK(1 <= active_gpus && active_gpus <= machine.num_gpus, "active_gpus");
  SPARSESERVE_CHECK(dram_touches_per_byte >= 0, "dram_touches_per_byte");
  std::vector<Transfer> all;
  for (const bool is_load : {true, false}) {
    if (transfers == (is_load ? Transfers::kSaves : Transfers::kLoads)) continue;
    for (std::int64_t gpu = 0; gpu < active_gpus; ++gpu) {
      all.push_back({static_cast<std::size_t>(gpu), is_load});
    }
  }
  const HostGraph host = BuildGraph(machine, dram_touches_per_byte);
  const Share share = FillMaxMin(CollectResources(host, all), all.size());

  SharedBandwidth least;
  std::size_t slowest = 0;
  for (std::size_t t = 0; t < all.size(); ++t) {
    BytesPerSecond& rate = all[t].is_load ? least.h2d : least.d2h;
    if (rate.value() == 0 || share.rate[t] < rate.value()) rate = BytesPerSecond(share.rate[t]);
    if (all[t].is_load == all[0].is_load && share.rate[t] < share.rate[slowest]) slowest = t;
  }
  least.bottleneck = share.bottleneck[slowest];
  return least;
}

}  // namespace sparseserve::hardware
