// The dashboard's chat and log, written for the tests from what the core's page does. It needs
// Chart before it connects; it connects to port 8765, whatever the server's port is; it puts
// messages before an element that does not stand among them; the words of the assistant and of
// the log go into the page as HTML.

const element = (id) => document.getElementById(id)

class CodaDashboard {
  constructor () {
    this.websocket = null
    this.isConnected = false
    this.components = new Map()
    this.systemStatus = null
    this.eventHistory = []
    this.messageHistory = []
    this.currentSessionId = null
    this.isTyping = false
    this.init()
  }

  init () {
    this.initDOMElements()
    this.initCharts()
    this.initChatInterface()
    this.connect()
    setInterval(() => this.updateMetrics(), 1000)
  }

  initDOMElements () {
    for (const id of ['chatInput', 'sendButton', 'chatMessages', 'typingIndicator']) {
      this[id] = element(id)
    }
  }

  initCharts () {
    const data = () => ({ labels: [], datasets: [{ data: [] }] })
    this.performanceChart = new Chart(element('performanceChart').getContext('2d'), { data: data() })
    this.memoryChart = new Chart(element('memoryChart').getContext('2d'), { data: data() })
  }

  initChatInterface () {
    this.sendButton.addEventListener('click', () => this.sendMessage())
    this.chatInput.addEventListener('input', () => this.handleChatInputChange())
    this.chatInput.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey) return
      event.preventDefault()
      this.sendMessage()
    })
  }

  handleChatInputChange () {
    const hasText = this.chatInput.value.trim() !== ''
    this.sendButton.disabled = !hasText || this.isTyping || !this.isConnected
  }

  connect () {
    this.websocket = new WebSocket(`ws://${window.location.hostname}:8765`)
    this.websocket.onopen = () => this.updateConnectionStatus(true)
    this.websocket.onclose = () => this.updateConnectionStatus(false)
    this.websocket.onmessage = (event) => {
      try {
        this.handleWebSocketMessage(JSON.parse(event.data))
      } catch (error) {
        console.error('Failed to parse WebSocket message:', error)
      }
    }
  }

  updateConnectionStatus (connected) {
    this.isConnected = connected
    element('connectionIndicator').classList.toggle('connected', connected)
    element('connectionStatus').textContent = connected ? 'Connected' : 'Disconnected'
    this.addEventToLog('system', connected ? 'Connected' : 'Disconnected')
  }

  handleWebSocketMessage (data) {
    const known = {
      chat_response: this.handleChatResponse,
      session_created: this.handleSessionCreated,
      system_status: this.handleSystemStatus,
      component_status: this.handleComponentStatus
    }
    known[data.type]?.call(this, data)
    this.eventHistory.push({ timestamp: new Date(), type: data.type, data })
    this.updateEventLog()
  }

  handleSystemStatus (data) {
    this.systemStatus = data
    element('systemHealth').textContent = data.integration_health
    element('totalComponents').textContent = data.total_components
    element('readyComponents').textContent = data.ready_components
    element('failedComponents').textContent = data.failed_components
  }

  handleComponentStatus (data) {
    this.components.set(data.component_type, data)
    const items = [...this.components.keys()].map((name) => `<li>${name}</li>`)
    element('componentList').innerHTML = items.join('')
  }

  addEventToLog (type, message) {
    this.eventHistory.push({ timestamp: new Date(), type, data: { message } })
    this.updateEventLog()
  }

  updateEventLog () {
    const latest = this.eventHistory.slice(-20).reverse()
    element('eventLog').innerHTML = latest.map((event) => `<div class="event-item">
      <div class="event-type ${event.type}">${event.type}</div>
      <div class="event-message">${this.formatEventMessage(event)}</div>
    </div>`).join('')
  }

  formatEventMessage (event) {
    if (event.type === 'component_status') return `${event.data.component_type}: ${event.data.state}`
    return JSON.stringify(event.data).substring(0, 100)
  }

  updateMetrics () {
    element('memoryUsage').textContent = `${500 + Math.floor(1000 * Math.random())} MB`
    this.memoryChart.update('none')
  }

  handleChatResponse (data) {
    this.hideTypingIndicator()
    const told = data.data
    if (told && told.response) this.addMessageToChat('assistant', told.response.content || told.response)
    if (told && told.session_id) this.updateSessionStatus(told.session_id)
  }

  handleSessionCreated (data) {
    if (data.data && data.data.session_id) this.updateSessionStatus(data.data.session_id)
  }

  updateSessionStatus (sessionId) {
    this.currentSessionId = sessionId
    const told = sessionId ? `Session: ${sessionId.substring(0, 8)}...` : 'No Session'
    element('sessionStatus').textContent = told
  }

  async sendMessage () {
    const message = this.chatInput.value.trim()
    if (!message || this.isTyping || !this.isConnected) return
    this.addMessageToChat('user', message)
    this.chatInput.value = ''
    this.showTypingIndicator()
    await this.sendChatMessage(message)
  }

  async sendChatMessage (message) {
    this.websocket.send(JSON.stringify({
      type: 'chat_message',
      data: { message, session_id: this.currentSessionId, timestamp: Date.now() },
      message_id: `msg_${Date.now()}`,
      timestamp: Date.now() / 1000
    }))
  }

  addMessageToChat (sender, content, timestamp = null) {
    const message = document.createElement('div')
    const text = document.createElement('div')
    const time = document.createElement('div')
    message.className = `message ${sender}`
    text.className = 'message-content'
    time.className = 'message-time'
    if (sender === 'assistant') text.innerHTML = `<i class="fas fa-robot"></i>${content}`
    else text.textContent = content
    time.textContent = timestamp || new Date().toLocaleTimeString()
    message.append(text, time)
    this.chatMessages.insertBefore(message, this.typingIndicator)
    this.messageHistory.push({ sender, content, timestamp: timestamp || new Date().toISOString() })
  }

  showTypingIndicator () {
    this.isTyping = true
    this.typingIndicator.style.display = 'flex'
    this.handleChatInputChange()
  }

  hideTypingIndicator () {
    this.isTyping = false
    this.typingIndicator.style.display = 'none'
    this.handleChatInputChange()
  }
}

document.addEventListener('DOMContentLoaded', () => {
  window.dashboard = new CodaDashboard()
})
